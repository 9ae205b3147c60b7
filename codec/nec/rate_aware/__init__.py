"""An encoder adapted to the rate: trained through the codec's own transform and quantiser."""
