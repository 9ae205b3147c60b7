"""What a machine says of itself beside a measurement, and what it lacks: `python -m benchmarks.energy`.

`machine` says under which clocks and power mode, `find` which machine; power itself is read by `onboard.power`.
"""
