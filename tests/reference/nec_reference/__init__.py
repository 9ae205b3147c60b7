"""A slow, plain decoder of `.nec` files, written from docs/bitstream.md alone.

It is the judge of the fast ones, so it shares no code with them: it imports neither `codec` nor the C++ core.
The modules follow the text's sections: `checks`, `bits` (1), `header`, `tiles` (3), `records` (4), `payload` (5),
`tables` (6), `reconstruct` (8), `manifest` (9); `whole` puts them together into one call, `decode_file`.
Only `reconstruct` uses numpy.
"""
