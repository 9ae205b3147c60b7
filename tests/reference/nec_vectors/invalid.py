"""All illegal files."""

from __future__ import annotations

from nec_vectors import invalid_files, invalid_payloads, invalid_records, invalid_tables, low_bits
from nec_vectors.files import Invalid


def vectors() -> list[Invalid]:
    """In the order of the text."""
    return [
        *invalid_files.vectors(),
        *invalid_records.vectors(),
        *invalid_payloads.vectors(),
        *low_bits.invalid(),
        *invalid_tables.vectors(),
    ]
