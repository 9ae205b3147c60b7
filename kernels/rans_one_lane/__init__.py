"""Records of one lane on a GPU, one thread a record; the twin is `codec.bitstream.core`."""
