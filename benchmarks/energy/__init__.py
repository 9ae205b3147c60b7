"""Energy of a window of work: from the INA3221 rails of a Jetson or from NVML, never from a model.

    python -m benchmarks.energy        # what this machine can say, and what it lacks

`rails` and `nvml` read, `meter` integrates, `machine` says under which clocks and power mode; `find` chooses.
"""
