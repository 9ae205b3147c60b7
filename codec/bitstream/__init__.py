"""The `.nec` format as docs/bitstream.md defines it: header, records, scanning, and the coding of symbols.

Bytes become validated types here and nowhere else; every refusal is one of codec.errors and says what, where and
what to do. The arithmetic that decides a bit (CRC, entropy coding, costs) is the compiled core's.
"""
