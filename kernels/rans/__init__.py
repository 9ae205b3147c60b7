"""rANS on a GPU (bitstream §5): the compiled core's bytes, thousands of records at once. The core is the twin."""
