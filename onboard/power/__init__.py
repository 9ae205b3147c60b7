"""Energy: from the INA3221 rails of a Jetson or from NVML, never from a model."""
