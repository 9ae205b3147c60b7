"""Adapter files: what comes back, what a file depends on, and every refusal by name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from codec.adapt import apply, files
from codec.adapt.adapted import Adapted
from codec.adapt.files import encode_adapter, load_adapter, read_adapter, save_adapter
from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded
from codec.models.bands import RGB_BANDS
from codec.models.vit import Encoder, EncoderConfig

pytest.importorskip("spyndex")
BANDS = (*RGB_BANDS, "nir", "swir16")
METHODS = ("norm", "bitfit", "lora", "slr", "deflect")


def encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(EncoderConfig(bands=RGB_BANDS, tile=16, patch=4, width=32, depth=2, heads=4)).eval()


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return (
        torch.rand(3, len(BANDS), 16, 16, generator=random),
        torch.ones(3, len(BANDS)),
        torch.ones(3, 16, 16),
    )


def trained(method: str, base: Encoder) -> Adapted:
    """Weights as after training: nothing stands where it began."""
    adapted = apply(base, method, BANDS)  # type: ignore[arg-type]
    if method == "deflect":
        adapted.fit_statistics([batch(1), batch(2)])  # type: ignore[operator]
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in adapted.trained().values():
            value += 0.05 * torch.randn(value.shape, generator=random)
    return adapted.eval()


def tokens(adapted: Adapted) -> Tensor:
    with torch.no_grad():
        found: Tensor = adapted(*batch(9))["tokens"]
    return found


@pytest.mark.parametrize("method", METHODS)
def test_what_is_stored_does_the_same(method: str, tmp_path: Path) -> None:
    base = encoder()
    adapted = trained(method, base)
    size = save_adapter(adapted, tmp_path / "a.safetensors", encoder_sha256="ab" * 32)
    assert size == (tmp_path / "a.safetensors").stat().st_size
    found = load_adapter(tmp_path / "a.safetensors", base, encoder_sha256="ab" * 32)
    assert found.settings == adapted.settings
    assert torch.equal(tokens(found), tokens(adapted))


def test_a_file_holds_the_adapter_s_tensors_only(tmp_path: Path) -> None:
    adapted = trained("deflect", encoder())
    save_adapter(adapted, tmp_path / "a.safetensors")
    stored = load((tmp_path / "a.safetensors").read_bytes())
    assert set(stored) == set(adapted.state())
    assert sum(v.numel() for v in stored.values()) < 0.2 * adapted.base_parameters


def test_equal_adapters_give_equal_bytes() -> None:
    assert encode_adapter(trained("deflect", encoder())) == encode_adapter(trained("deflect", encoder()))


@pytest.mark.parametrize(("packing", "share", "error"), [("int8", 0.30, 0.02), ("int4", 0.18, 0.3)])
def test_packed_files_are_small_and_near(packing: str, share: float, error: float, tmp_path: Path) -> None:
    base = encoder()
    adapted = trained("lora", base)
    save_adapter(adapted, tmp_path / "a.safetensors", packing=packing)  # type: ignore[arg-type]
    stored = load((tmp_path / "a.safetensors").read_bytes())
    assert sum(v.nbytes for v in stored.values()) < share * sum(v.nbytes for v in adapted.state().values())
    with torch.no_grad():
        frozen = apply(base, "frozen", BANDS).eval()(*batch(9))["tokens"]
    moved = (tokens(adapted) - frozen).norm()
    assert (tokens(load_adapter(tmp_path / "a.safetensors", base)) - tokens(adapted)).norm() < error * moved


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    adapted = trained("deflect", encoder())
    save_adapter(adapted, tmp_path / "a.safetensors", encoder_sha256="cd" * 32, packing="int4")
    found = read_adapter(tmp_path / "a.safetensors")
    assert (found.method, found.bands, found.packing) == ("deflect", BANDS, "int4")
    assert found.base_sha256 == adapted.base_sha256
    assert found.encoder_sha256 == "cd" * 32
    assert found.settings == adapted.settings
    assert found.statistics is not None
    assert [index["name"] for index in found.statistics["indices"]][:1] == ["NDVI"]


def test_an_adapter_of_another_base_is_refused_by_hash_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(trained("lora", encoder()), path, encoder_sha256="ab" * 32)
    with pytest.raises(IdentityError, match=r"a\.safetensors.*abababab.*cdcdcdcd.*use the package whose"):
        load_adapter(path, encoder(), encoder_sha256="cd" * 32)
    with pytest.raises(IdentityError, match=r"a\.safetensors.*another base"):
        load_adapter(path, encoder(1))


@pytest.mark.parametrize(
    "other", [{"bands": (*RGB_BANDS, "coastal")}, {"width": 8}, {"depth": 1}, {"patch": 8}]
)
def test_another_base_is_refused_by_hash_whatever_else_differs(
    other: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(trained("deflect", encoder()), path)
    config = {"bands": RGB_BANDS, "tile": 16, "patch": 4, "width": 32, "depth": 2, "heads": 4, **other}
    with pytest.raises(IdentityError, match="another base"):
        load_adapter(path, Encoder(EncoderConfig(**config)))  # type: ignore[arg-type]


def changed(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """The same header over other tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = load(data)
    change(tensors)
    path.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata=metadata))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(min(t)), "is missing"),
        (lambda t: t.update(extra=torch.zeros(3)), "extra is no part"),
        (lambda t: t.update({min(t): t[min(t)][..., :-1]}), "another shape"),
        (lambda t: t.update({min(t): t[min(t)] * float("nan")}), "not finite"),
    ],
)
def test_tensors_that_do_not_belong_are_named(
    change: Callable[[dict[str, Tensor]], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_adapter(trained("lora", encoder()), path)
    changed(path, change)
    with pytest.raises((InputError, Corrupt), match=rf"a\.safetensors: tensor .*{words}"):
        load_adapter(path, encoder())


def with_metadata(data: bytes, **entries: object) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"].update(entries)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"format": "swathpack-encoder-1"}, "swathpack-encoder-1"),
        ({"method": "prompt"}, "method is not known"),
        ({"settings": "{"}, "not an adapter file"),
        ({"settings": '{"rank": "many"}'}, "rank"),
        ({"settings": '{"seed": 1000000000000000000000}'}, "seed"),
        ({"settings": '{"alpha": Infinity}'}, "alpha"),
        ({"packing": "int2"}, "packing is not known"),
        ({"packing": "int4", "shapes": '{"a": [0, 2]}'}, "shapes are not legal"),
        ({"packing": "int4", "shapes": '{"a": [2, 2]}'}, "tensor a is missing"),
        ({"statistics": "{}"}, "not a definition"),
        (
            {
                "statistics": '{"patch": "wide", "bands": [], "indices": [], "stats": [], "use": "all", "base": []}'
            },
            "not a definition",
        ),
    ],
)
def test_headers_that_cannot_be_believed_are_refused(
    entries: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(with_metadata(encode_adapter(trained("lora", encoder())), **entries))
    with pytest.raises((InputError, Corrupt), match=words):
        load_adapter(path, encoder())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 8}, "patches of 8 pixels.*4"),
        ({"bands": list(reversed(BANDS))}, "of other bands"),
        ({"indices": [{"name": "a", "formula": "N * k", "bands": [["N", "nir"]], "constants": [["k", float("nan")]]}]},
         "not finite"),
        ({"indices": [{"name": "a", "formula": "N * k", "bands": [["N", "nir"]], "constants": [["k", 10**400]]}]},
         "index"),
        ({"bands": ["blue", None, 3]}, "not a definition"),
        ({"patch": float("inf")}, "not a definition"),
        ({"indices": [{"name": "a", "formula": "((8 ** 8) ** 8) ** 8 * N", "bands": [["N", "nir"]], "constants": []}]},
         "index a: .*range of numbers"),
    ],
)  # fmt: skip
def test_statistics_that_do_not_fit_the_adapter_are_refused(
    change: dict[str, object], words: str, tmp_path: Path
) -> None:
    adapted = trained("deflect", encoder())
    path = tmp_path / "a.safetensors"
    definition = {**adapted.upe.statistics.definition(), **change}  # type: ignore[union-attr, operator]
    path.write_bytes(with_metadata(encode_adapter(adapted), statistics=json.dumps(definition)))
    with pytest.raises((InputError, Corrupt), match=rf"a\.safetensors: .*{words}"):
        load_adapter(path, encoder())


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    data = encode_adapter(trained("norm", encoder()))
    path = tmp_path / "a.safetensors"
    for end in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(Corrupt, match="not an adapter file"):
            read_adapter(path)


def test_a_missing_file_and_one_that_is_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_adapter(tmp_path / "none.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"x" * 100)
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(LimitExceeded, match="too large"):
        read_adapter(tmp_path / "a.safetensors")


def test_statistics_that_were_never_fitted_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fit_statistics"):
        save_adapter(apply(encoder(), "deflect", BANDS), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_stored(tmp_path: Path) -> None:
    adapted = trained("lora", encoder())
    with torch.no_grad():
        next(iter(adapted.trained().values())).mul_(float("inf"))
    with pytest.raises(InputError, match=r"tensor .* not finite"):
        save_adapter(adapted, tmp_path / "a.safetensors")


def test_another_packing_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no packing is called 'int2'.*int8, int4.*float32"):
        save_adapter(trained("norm", encoder()), tmp_path / "a.safetensors", packing="int2")  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())
