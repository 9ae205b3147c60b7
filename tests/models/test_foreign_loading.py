"""Checkpoints that fit are loaded whole; whatever does not fit is refused by name."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import pytest
import torch
from foreign_files import small, weights, write
from safetensors.torch import save_file
from torch import Tensor

from codec.errors import Corrupt, InputError
from codec.models.foreign import inspect, layout_names, load_foreign
from codec.models.foreign.layout import Layout
from codec.models.foreign.mapping import Status

NAMES = layout_names()


def needed(layout: Layout) -> str:
    """A tensor that the encoder needs, with two different sides: the first layer of its last MLP."""
    return [key for key in layout.keys if key.endswith("mlp.fc1.weight") and layout.own(key) is not None][-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_layout_is_loaded_whole_and_frozen(name: str, tmp_path: Path) -> None:
    layout = small(name)
    state = weights(layout)
    encoder = load_foreign(layout, write(layout, state, tmp_path / "file.pth"))
    own = encoder.state_dict()
    assert encoder.report is not None
    mapped = {row.own: row.foreign for row in encoder.report.rows if row.status is Status.LOADED}
    assert mapped.keys() == own.keys()
    for key, foreign in mapped.items():
        assert torch.equal(own[key], state[foreign]), key
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(value.is_meta for value in own.values())


@pytest.mark.parametrize(
    "change", ["renamed", "missing", "transposed", "shortened", "nan", "infinite", "integer", "extra"]
)
@pytest.mark.parametrize("name", NAMES)
def test_one_tensor_that_does_not_fit_is_refused_by_name(name: str, change: str, tmp_path: Path) -> None:
    layout = small(name)
    state = weights(layout)
    key = needed(layout)
    expected = {key: change}
    if change == "renamed":
        state[key.replace("fc1", "fc3")] = state.pop(key)
        expected = {key: "missing", key.replace("fc1", "fc3"): "unexpected"}
    elif change == "missing":
        del state[key]
    elif change == "transposed":
        state[key] = state[key].T.contiguous()
        expected = {key: "misshapen"}
    elif change == "shortened":
        state[key] = state[key][:-1]
        expected = {key: "misshapen"}
    elif change == "nan":
        state[key][3, 2] = float("nan")
        expected = {key: "not finite"}
    elif change == "infinite":
        state[key] = state[key].double()
        state[key][0, 0] = 1e300  # finite in the file, not in the float32 it is loaded as
        expected = {key: "not finite"}
    elif change == "integer":
        state[key] = state[key].to(torch.int8)
        expected = {key: "not floating point"}
    else:
        state[key + "_2"] = torch.zeros(1)
        expected = {key + "_2": "unexpected"}
    path = write(layout, state, tmp_path / "file.pth")
    report = inspect(layout, path)
    found = {row.foreign.removeprefix(layout.prefixes[0]): row.status.value for row in report.problems}
    assert found == expected
    with pytest.raises(InputError, match=next(iter(expected)).replace(".", r"\.")) as refused:
        load_foreign(layout, path)
    assert next(iter(expected.values())) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if not name.startswith("dino")]
)  # it skips no listed tensor
def test_skipped_tensors_are_checked_as_well(name: str, tmp_path: Path) -> None:
    layout = small(name)
    key = next(key for key in layout.keys if layout.own(key) is None and key not in layout.any_shape)
    for change, status in (
        ("missing", Status.MISSING),
        ("misshapen", Status.MISSHAPEN),
        ("nan", Status.NOT_FINITE),
    ):
        state = weights(layout)
        if change == "missing":
            del state[key]
        elif change == "misshapen":
            state[key] = torch.zeros(*state[key].shape, 2)
        else:
            state[key] = torch.full_like(state[key], float("nan"))
        (row,) = inspect(layout, write(layout, state, tmp_path / "file.pth")).problems
        assert (row.foreign, row.status) == (key, status)


def test_a_transposed_square_matrix_has_the_right_shape_and_only_the_tokens_tell(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    state = weights(layout)
    pixels = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    right = load_foreign(layout, write(layout, state, tmp_path / "right.pth"))
    state["blocks.1.attn.proj.weight"] = state["blocks.1.attn.proj.weight"].T.contiguous()
    wrong = load_foreign(layout, write(layout, state, tmp_path / "wrong.pth"))
    assert (right(pixels) - wrong(pixels)).abs().max() > 0.1


def test_the_report_shows_every_tensor_with_its_fate(tmp_path: Path) -> None:
    layout = small("cross_scale_mae_MsLdCeCd_vit_base")
    state = weights(layout)
    state["encoder.1.mlp.fc1.weight"] = state["encoder.1.mlp.fc1.weight"].T.contiguous()
    state["encoder.0.norm_1.bias"] = state.pop("encoder.0.norm1.bias")
    report = inspect(layout, write(layout, state, tmp_path / "file.pth", epoch=3))
    lines = report.table().splitlines()
    assert lines[0].endswith("file.pth: entry 'model', prefix ''; not read: epoch")
    assert "aicip/Cross-Scale-MAE @ f991ab708948" in lines[1]
    cells = {
        line.split("  ")[0]: [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in lines[3:-1]
    }
    assert cells["encoder.0.attn.qkv.weight"] == [
        "encoder.0.attn.qkv.weight",
        "blocks.0.attn.qkv.weight",
        "96×32",
        "loaded",
    ]
    assert cells["encoder.1.mlp.fc1.weight"][2:] == ["32×96 instead of 96×32", "misshapen (transposed?)"]
    assert cells["encoder.0.norm1.bias"][1:] == [
        "blocks.0.norm1.bias",
        "32",
        "missing (encoder.0.norm_1.bias has its shape)",
    ]
    assert cells["encoder.0.norm_1.bias"][1:] == ["-", "32", "unexpected"]
    assert cells["decoder.0.norm1.bias"][1:] == ["-", "48", "skipped by name (MAE decoder)"]
    assert cells["predictor.3.bias"][1:] == ["-", "512", "skipped by name (cross-scale predictor)"]
    assert len(cells) == len(state) + 1
    assert lines[-1].endswith("1 missing, 1 unexpected, 1 misshapen")


def test_with_the_decoder_asked_for_its_tensors_are_loaded_too(tmp_path: Path) -> None:
    layout = small("rvsa_millionaid_mae_vit_base")
    path = write(layout, weights(layout), tmp_path / "file.pth")
    assert {row.status for row in inspect(layout, path).rows} == {Status.LOADED, Status.SKIPPED}
    assert {row.status for row in inspect(layout, path, decoder=True).rows} == {Status.LOADED}


def test_training_options_beside_the_weights_do_not_hinder(tmp_path: Path) -> None:
    layout = small("satmae_fmow_rgb_vit_large")
    path = write(layout, weights(layout), tmp_path / "file.pth", args=argparse.Namespace(lr=1e-3), epoch=7)
    encoder = load_foreign(layout, path)
    assert encoder.report is not None
    assert encoder.report.beside == ("args", "epoch")


class Trap:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, "sprung"))


def test_python_objects_in_a_file_are_refused_and_never_run(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    trap = tmp_path / "trap"
    path = write(layout, weights(layout), tmp_path / "file.pth", args=Trap(trap))
    with pytest.raises(InputError, match="state dict alone"):
        load_foreign(layout, path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Trap(trap), protocol=2))
    with pytest.raises((InputError, Corrupt)):
        load_foreign(layout, plain)
    assert not trap.exists()


def test_any_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    layout = small("galileo_nano_encoder")
    data = write(layout, weights(layout), tmp_path / "file.pth").read_bytes()
    cut = tmp_path / "cut.pth"
    for length in [0, 1, 2, 100, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises((Corrupt, InputError)):
            load_foreign(layout, cut)
    cut.write_bytes(b"not a file of torch at all")
    with pytest.raises(Corrupt):
        load_foreign(layout, cut)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    for path in (tmp_path / "absent.pth", tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_foreign(layout, path)


def test_safetensors_and_plain_state_dicts_load_like_the_published_file(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    state = weights(layout)
    save_file(state, tmp_path / "file.safetensors")
    torch.save(state, tmp_path / "plain.pth")
    pixels = torch.zeros(1, 3, 12, 12)
    tokens = [
        load_foreign(layout, path)(pixels)
        for path in (
            write(layout, state, tmp_path / "file.pth"),
            tmp_path / "file.safetensors",
            tmp_path / "plain.pth",
        )
    ]
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(tokens[0], tokens[2])


def test_a_cut_safetensors_file_is_corrupt(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    save_file(weights(layout), tmp_path / "file.safetensors")
    data = (tmp_path / "file.safetensors").read_bytes()
    (tmp_path / "file.safetensors").write_bytes(data[:-5])
    with pytest.raises(Corrupt):
        load_foreign(layout, tmp_path / "file.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, {"model": 3}, {}, 5], ids=str)
def test_files_without_the_entry_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(InputError, match="tensors"):
        load_foreign(small("mae_vit_base_patch16"), tmp_path / "file.pth")


def test_an_entry_that_is_no_tensor_is_refused_by_name(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    state: dict[str, object] = dict(weights(layout))
    state["norm.weight"] = "ones"
    torch.save({"model": state}, tmp_path / "file.pth")
    with pytest.raises(InputError, match=r"norm\.weight"):
        load_foreign(layout, tmp_path / "file.pth")


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    layout = small("mae_vit_base_patch16")
    state = {key: value.bfloat16() for key, value in weights(layout).items()}
    encoder = load_foreign(layout, write(layout, state, tmp_path / "file.pth"))
    assert {value.dtype for value in encoder.state_dict().values()} == {torch.float32}
    assert torch.equal(encoder.state_dict()["norm.weight"], state["norm.weight"].float())


def dino(state: dict[str, Tensor], prefix: str, head: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()} | {
        head + "last_layer.weight_g": torch.ones(3, 1)
    }


@pytest.mark.parametrize("module", ["module.", ""])
def test_dino_teachers_load_with_their_projection_head_left_out(module: str, tmp_path: Path) -> None:
    layout = small("dino_mc_vit_small_patch8")
    state = weights(layout)
    teacher = dino(state, module + "backbone.", module + "head.")
    student = dino({key: value + 1 for key, value in state.items()}, "module.backbone.", "module.head.")
    torch.save({"student": student, "teacher": teacher}, tmp_path / "file.pth")
    encoder = load_foreign(layout, tmp_path / "file.pth")
    assert torch.equal(encoder.state_dict()["norm.bias"], state["norm.bias"])
    assert encoder.report is not None
    row = encoder.report.rows[-1]
    assert (row.foreign, row.status) == (module + "head.last_layer.weight_g", Status.SKIPPED)
    assert encoder.report.beside == ("student",)


def test_a_key_without_the_prefix_of_the_others_is_unexpected(tmp_path: Path) -> None:
    layout = small("dino_mc_vit_small_patch8")
    state = weights(layout)
    teacher = {("" if key == "norm.bias" else "backbone.") + key: value for key, value in state.items()}
    torch.save({"teacher": teacher}, tmp_path / "file.pth")
    problems = [(row.foreign, row.status) for row in inspect(layout, tmp_path / "file.pth").problems]
    assert problems == [("norm.bias", Status.MISSING), ("norm.bias", Status.UNEXPECTED)]
    torch.save({"teacher": state}, tmp_path / "file.pth")
    with pytest.raises(InputError, match="prefix"):
        load_foreign(layout, tmp_path / "file.pth")


def test_old_prithvi_files_with_a_module_prefix_load(tmp_path: Path) -> None:
    layout = small("prithvi_eo_v1_100")
    state = weights(layout)
    path = tmp_path / "file.pth"
    torch.save(state, path)
    plain = load_foreign(layout, path)
    torch.save({"_timm_module." + key: value for key, value in state.items()}, path)
    old = load_foreign(layout, path)
    pixels = torch.randn(1, 6, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(pixels), old(pixels))


def test_nec_files_load_from_either_library_version_with_tables_of_any_length(tmp_path: Path) -> None:
    layout = small("nec_adapter_vit_base")
    state = weights(layout)
    for key in ("bottleneck._offset", "bottleneck._quantized_cdf", "bottleneck._cdf_length"):
        state[key] = torch.arange(5, dtype=torch.int32)  # filled by update(), empty before
    older = load_foreign(layout, write(layout, state, tmp_path / "file.pth"))
    newer = {}
    for key, value in state.items():
        for old, new in (("_matrix", "matrices."), ("_bias", "biases."), ("_factor", "factors.")):
            key = key.replace("bottleneck." + old, "bottleneck." + new)
        newer[key] = value
    assert "bottleneck.matrices.0" in newer
    renamed = load_foreign(layout, write(layout, newer, tmp_path / "file.pth"))
    assert torch.equal(older(torch.ones(1, 3, 12, 12)), renamed(torch.ones(1, 3, 12, 12)))
    newer["bottleneck._matrix0"] = newer["bottleneck.matrices.0"]
    with pytest.raises(InputError, match="same tensor"):
        load_foreign(layout, write(layout, newer, tmp_path / "file.pth"))


def test_a_fine_tuned_mae_with_another_last_norm_is_refused(tmp_path: Path) -> None:
    layout = small("timm_vit_base_patch16")
    state = weights(layout)
    state["fc_norm.weight"], state["fc_norm.bias"] = state.pop("norm.weight"), state.pop("norm.bias")
    with pytest.raises(InputError, match=r"norm\.weight is missing"):
        load_foreign(layout, write(layout, state, tmp_path / "file.pth"))
