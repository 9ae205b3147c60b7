"""How fast and how small the entropy core is, against named rivals: `make bench-entropy`.

`latents` makes the data, `plane_coder` and `coder` are ours, `peers` the rivals; `timing` measures pairs. What is measured
stands in `archive`, `real_latents`, `link`, `rates`, `erasure`, `bounds`, `fused` and `scaling`, one function each that
returns rows. The back end is chosen when the core is loaded, so each job runs in its own process (`child`); the tests
start it and keep the rows.
"""
