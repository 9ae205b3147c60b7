"""What is no size of a record is refused by name, before anything is coded."""

from __future__ import annotations

from typing import Any

import pytest

from codec.arrays.pack import pack
from codec.errors import InputError
from tests.arrays.embedding_arrays import vectors


@pytest.mark.parametrize("value", ["a", None, True, 12, 960.5, float("nan")])
def test_the_size_of_a_record_is_a_whole_number_of_bytes(value: Any) -> None:
    with pytest.raises(InputError, match="target_bytes is a whole number of at least 13"):
        pack(vectors(100, 4), target_bytes=value)
