"""Decoder-side refinement: a small network that guesses what quantisation and missing layers took from an embedding.

    records ─decode─▶ planes, steps, layers that arrived ─decoder.onnx─▶ the first plane, nearer to what was encoded

Optional and off by default: without it decoding is exact arithmetic on any machine, with it a float network follows. It
changes values only, never validity, and leaves the mean over a tile's tokens where layer 0 put it.
`session` runs it (numpy and onnxruntime); everything else here makes it (torch).
"""
