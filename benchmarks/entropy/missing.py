"""What is not here: a rival, a back end, a feature. A test turns it into a skip with this reason."""

from __future__ import annotations


class Missing(Exception):
    """Says what is missing and how to get it."""
