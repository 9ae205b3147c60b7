"""Ids against texts written by hand from bitstream §9."""

import hashlib

import pytest

from codec.errors import InputError
from codec.package import identity


def test_canonical_json_sorts_keys_and_keeps_letters_as_they_are() -> None:
    entry = {"b": [1, True, None], "a": {"z": "ü", "Z": ""}, "ä": -5}
    assert identity.canonical_json(entry) == '{"a":{"Z":"","z":"ü"},"b":[1,true,null],"ä":-5}'.encode()


@pytest.mark.parametrize("value", [1.0, {"a": [0, 0.5]}, {"a": float("nan")}, {1: 2}, {"a": b"x"}])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        identity.canonical_json(value)


def test_the_place_of_a_float_is_named() -> None:
    with pytest.raises(InputError, match=r"energy\.runs\[1\] is 0\.5"):
        identity.canonical_json({"energy": {"runs": [1, 0.5]}})


def test_space_id_is_the_hash_of_the_entry_in_the_specification() -> None:
    text = (
        '{"adapter":null,"bands":["blue","nir"],"encoder":"'
        + "ab" * 32
        + '","plane":"tokens","preprocessing":"v0"}'
    )
    got = identity.space_id(
        plane="tokens",
        bands=("blue", "nir"),
        preprocessing="v0",
        encoder_sha256="ab" * 32,
        adapter_sha256=None,
    )
    assert got == hashlib.sha256(text.encode()).digest()[:8]


def test_codec_id_is_the_hash_of_the_entry_in_the_specification() -> None:
    text = '{"tables":"' + "01" * 32 + '","transform":"' + "23" * 32 + '"}'
    got = identity.codec_id(tables_sha256="01" * 32, transform_sha256="23" * 32)
    assert got == hashlib.sha256(text.encode()).digest()[:8]
