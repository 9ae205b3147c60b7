"""A slow encoder that exists to make vectors: it writes what it is told, legal or not.

It shares nothing with `nec_reference` but the check sums, so that a mistake in one shows in the other.
"""
