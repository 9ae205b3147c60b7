"""Encoder files are read strictly: nothing missing, nothing extra, nothing reshaped, nothing that is not finite."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from codec.errors import Corrupt, InputError
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import load_encoder, save_encoder

SMALL = EncoderConfig(bands=("blue", "red", "nir"), tile=32, width=32, depth=1, heads=2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_encoder(Encoder(SMALL), tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


def rewrite(path: Path, change: str) -> None:
    with safe_open(path, "pt") as source:
        metadata = source.metadata()
        tensors = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118
    key = "blocks.0.fc1.weight"
    if change == "renamed":
        tensors["blocks.0.fc9.weight"] = tensors.pop(key)
    elif change == "missing":
        del tensors[key]
    elif change == "extra":
        tensors["blocks.7.fc1.weight"] = tensors[key].clone()
    elif change == "transposed":
        tensors[key] = tensors[key].T.contiguous()
    elif change == "not finite":
        tensors[key] = torch.full_like(tensors[key], float("nan"))
    elif change == "format":
        metadata["format"] = "another"
    elif change == "width":
        metadata["width"] = "64"
    path.write_bytes(save(tensors, metadata=metadata))


def test_a_saved_encoder_comes_back_with_its_architecture_and_outputs(file: Path) -> None:
    torch.manual_seed(0)
    original, loaded = Encoder(SMALL).eval(), load_encoder(file)
    assert loaded.config == SMALL
    inputs = (torch.rand(2, 3, 32, 32), torch.ones(2, 3), torch.ones(2, 32, 32))
    assert torch.equal(original(*inputs)["tokens"], loaded(*inputs)["tokens"])


def test_equal_weights_give_equal_files(file: Path, tmp_path: Path) -> None:
    save_encoder(load_encoder(file), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("renamed", "blocks.0.fc1.weight is missing"),
        ("missing", "blocks.0.fc1.weight is missing"),
        ("extra", "blocks.7.fc1.weight is not part"),
        ("transposed", "blocks.0.fc1.weight has another shape"),
        ("not finite", "blocks.0.fc1.weight holds values"),
        ("width", "has another shape"),
    ],
)
def test_a_changed_tensor_is_refused_by_name(file: Path, change: str, named: str) -> None:
    rewrite(file, change)
    with pytest.raises(InputError, match=named):
        load_encoder(file)


def test_another_format_is_not_an_encoder_file(file: Path) -> None:
    rewrite(file, "format")
    with pytest.raises(Corrupt, match="not an encoder file"):
        load_encoder(file)


@pytest.mark.parametrize("length", [0, 4, 8, 60, 2000])
def test_a_cut_encoder_file_is_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(Corrupt, match="not an encoder file"):
        load_encoder(file)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(tmp_path / "none.safetensors")
