"""Records of several lanes on a GPU, one program a record; the twin is `codec.bitstream.core`."""
