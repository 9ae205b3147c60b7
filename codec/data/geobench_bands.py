"""What the bands of GEO-Bench's sets are: canonical names, two wrong orders put right, and scales.

Band names are wrong in two published sets, the pixels are not: m-eurosat has B8A last (ServiceNow/geo-bench issue 28),
m-brick-kiln has B1–B5, B7, B8A, B8, B11, B12 and a true-colour picture (issue 29). They are renamed here, where the file
still has the standard names.

Which numbers mean what is stated nowhere in the layout. Known here: 1e-4 for the Sentinel-2 sets m-eurosat, m-bigearthnet
and m-brick-kiln, reflectance itself in m-so2sat, bytes in m-pv4ger and m-forestnet (torchgeo/torchgeo-bench pull request
85). For any other set the caller gives scale and offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codec.data.readers import EUROSAT_ORDER, S2_ALL

_S2 = {
    "01 - Coastal aerosol": "coastal",
    "02 - Blue": "blue",
    "03 - Green": "green",
    "04 - Red": "red",
    "05 - Vegetation Red Edge": "rededge071",
    "06 - Vegetation Red Edge": "rededge075",
    "07 - Vegetation Red Edge": "rededge078",
    "08 - NIR": "nir",
    "08A - Vegetation Red Edge": "nir08",
    "09 - Water vapour": "nir09",
    "10 - SWIR - Cirrus": "cirrus",
    "11 - SWIR": "swir16",
    "12 - SWIR": "swir22",
}
_LANDSAT8 = {
    "01 - Coastal aerosol": "coastal",
    "02 - Blue": "blue",
    "03 - Green": "green",
    "04 - Red": "red",
    "05 - NIR": "nir08",
    "06 - SWIR1": "swir16",
    "07 - SWIR2": "swir22",
}
CANONICAL: Mapping[str, str] = {
    **_S2,
    **_LANDSAT8,
    "Red": "red",
    "Green": "green",
    "Blue": "blue",
    "NIR": "nir",
}
STANDARD = tuple(_S2)  # the order in which the converters named 13 bands
# Set → what its 13 data sets really are, in the order of `bands_order`; empty: no band of the ground.
CORRECTED: Mapping[str, tuple[str, ...]] = {
    "m-eurosat": tuple(S2_ALL[band] for band in EUROSAT_ORDER),
    "m-brick-kiln": (
        *("coastal", "blue", "green", "red", "rededge071", "rededge078", "nir08", "nir", "swir16", "swir22"),
        *("", "", ""),
    ),
}
SCALES: Mapping[str, float] = {
    "m-eurosat": 1e-4,
    "m-bigearthnet": 1e-4,
    "m-brick-kiln": 1e-4,
    "m-so2sat": 1.0,
    "m-pv4ger": 0.3 / 255,  # 8-bit colour: the convention of sensor "rgb"
    "m-pv4ger-seg": 0.3 / 255,
    "m-forestnet": 0.4 / 255,  # 8-bit export with infrared: that of "s2-export8"
}


def band_names(task: str, stored: Sequence[str]) -> tuple[str, ...]:
    """Canonical names of bands as GEO-Bench names them, with its two wrong orders put right; others as they are."""
    if task in CORRECTED and tuple(stored) == STANDARD:
        return CORRECTED[task]
    return tuple(CANONICAL.get(name, name) for name in stored)
