"""What the reference decoder does with a package, and its arithmetic where no vector reaches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from nec_reference.header import decode_header
from nec_reference.manifest import Json, Package, canonical_json, entry_id, space_id
from nec_reference.reconstruct import dct_atoms, lift
from nec_reference.refusals import Identity, Unsupported
from nec_reference.whole import decode_file

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def test_a_package_that_predicts_is_refused() -> None:
    with pytest.raises(Unsupported):
        Package(None, "", predicts=True).check()


def test_an_unknown_lifting_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="haar"):
        Package(None, "", lifting="haar").check()


def test_canonical_json_is_sorted_dense_and_utf8() -> None:
    assert canonical_json({"b": [1, None, "é"], "a": {"z": True, "y": "\n"}}) == (
        b'{"a":{"y":"\\n","z":true},"b":[1,null,"\xc3\xa9"]}'
    )


def test_canonical_json_holds_no_floats() -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": [1, {"b": 1.0}]})  # type: ignore[dict-item]


def test_an_id_is_the_first_8_bytes_of_sha256() -> None:
    text = b'{"adapter":null,"bands":["red","nir"],"encoder":"00","plane":"tokens","preprocessing":"p"}'
    expected = hashlib.sha256(text).digest()[:8]
    entry: dict[str, Json] = {
        "plane": "tokens",
        "preprocessing": "p",
        "encoder": "00",
        "bands": ["red", "nir"],
        "adapter": None,
    }
    assert entry_id(entry) == expected
    assert (
        space_id(
            adapter_sha256=None, bands=["red", "nir"], encoder_sha256="00", plane="tokens", preprocessing="p"
        )
        == expected
    )


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 64])
def test_dct_atoms_are_orthonormal(n: int) -> None:
    atoms = dct_atoms(n)
    assert np.abs(atoms @ atoms.T - np.eye(n)).max() < 1e-12


def test_lifting_left_wraps_at_16_bits() -> None:
    # 32767 + 1 = 32768 ≡ −32768; −32768 − 1 ≡ 32767.
    assert lift([[32767, 1, -1]], 1, 3, "left").ravel().tolist() == [32767, -32768, 32767]


def test_without_tables_the_codec_is_named_in_the_refusal() -> None:
    data = (VECTORS / "valid" / "one-zero.nec").read_bytes()
    with pytest.raises(Identity, match=decode_header(data).codec_id.hex()):
        decode_file(data, Package(None, ""))
