"""The parts of `benchmarks.nec_ingredients`, one file each."""
