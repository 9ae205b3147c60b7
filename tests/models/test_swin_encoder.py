"""Swin against a reading of its paper in numpy and float64, and what its files may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_files import SWIN_WINDOW, small, swin_layout, weights, write
from foreign_numpy import Array, State
from swin_numpy import swin
from torch import Tensor

from codec.errors import InputError
from codec.models.foreign import inspect, load_foreign, read_layout
from codec.models.foreign.layout import Layout
from codec.models.foreign.load import build
from codec.models.foreign.mapping import Status
from codec.models.foreign.swin import SwinEncoder
from codec.models.foreign.windows import Windows, relative_index

SWINS = [
    "swin_base_patch4_window7_224_22k",
    "simmim_swin_base_img192_window6",
    "gfm_swin_base",
    "gfm_finetune_ben_img128_window4",
    "gfm_finetune_ucm_img256_window8",
]


def own_state(layout: Layout, state: dict[str, Tensor]) -> State:
    """The encoder's tensors under the names of the plain published model, without the prefix of pre-training files."""
    return {
        key.removeprefix("encoder."): value.double().numpy()
        for key, value in state.items()
        if not key.startswith(("teacher.", "head.", "decoder.", "projector."))
    }


def agree(encoder: SwinEncoder, state: State, images: Array) -> None:
    expected = np.stack([swin(state, image) for image in images])
    found = encoder.forward_tokens(torch.from_numpy(images))
    assert found.grid == expected.shape[1:3]
    assert found.class_token is None
    np.testing.assert_allclose(
        found.patches.numpy(), expected.reshape(len(images), -1, encoder.width), atol=1e-9
    )
    assert np.abs(expected).max() > 0.5, "tokens near zero would agree with anything"


def pixels(*shape: int) -> Array:
    return np.random.default_rng(3).normal(size=shape)


def loaded(name: str, folder: Path) -> tuple[SwinEncoder, State]:
    layout = small(name)
    state = weights(layout)
    encoder = load_foreign(layout, write(layout, state, folder / "file.pth")).double()
    assert isinstance(encoder, SwinEncoder)
    return encoder, own_state(layout, state)


@pytest.mark.parametrize("name", SWINS)
def test_every_layout_agrees_with_numpy(name: str, tmp_path: Path) -> None:
    agree(*loaded(name, tmp_path), pixels(1, 3, 28, 20))


# Tokens at first; windows are 3×3.
SIZES = {
    "one window": (12, 12),
    "smaller than a window": (8, 8),
    "two windows a side, shifted": (24, 24),
    "padded, and odd when merged": (28, 20),
    "one row of windows, not shifted": (12, 36),
    "padded below only": (28, 24),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_every_size_agrees_with_numpy(size: tuple[int, int], tmp_path: Path) -> None:
    agree(*loaded("gfm_swin_base", tmp_path), pixels(2, 3, *size))


@pytest.mark.parametrize(
    "sizes",
    [
        {"depths": (3, 1), "heads": (1, 3), "width": 6, "window": 4, "patch": 2, "bands": 5},
        {"depths": (1, 2, 1), "heads": (2, 2, 4), "width": 4, "window": 2, "patch": 3, "bands": 3},
        {"depths": (2,), "heads": (2,), "width": 8, "window": 5, "patch": 4, "bands": 4},
    ],
    ids=["even window, five bands", "three stages, patch of 3", "one stage"],
)
def test_other_depths_heads_windows_patches_and_bands_agree_with_numpy(sizes: Any) -> None:
    layout = swin_layout(**sizes)
    state = weights(layout)
    encoder = build(layout)
    assert isinstance(encoder, SwinEncoder)
    encoder.load_state_dict(state)
    side = 9 * sizes["patch"]
    images = pixels(1, sizes["bands"], side, side - sizes["patch"])
    agree(encoder.double().requires_grad_(False), own_state(layout, state), images)


def test_rows_of_the_table_go_by_distance_down_then_across() -> None:
    # 2×2 tokens a b / c d; the table has rows for distances (−1, −1), (−1, 0), … (1, 1) from key to query.
    expected = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    np.testing.assert_array_equal(relative_index(2), expected)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("grid", [(3, 3), (5, 7), (6, 2)], ids=str)
def test_tokens_come_back_to_where_they_were(grid: tuple[int, int], shift: int) -> None:
    cut = Windows(*grid, side=3, shift=shift)
    x = torch.arange(2.0 * grid[0] * grid[1] * 4).reshape(2, -1, 4)
    assert torch.equal(cut.joined(cut.cut(x)), x)
    assert cut.cut(x).shape == (2 * cut.rows * cut.columns, 9, 4)


def index_by_loops(side: int) -> Tensor:
    places = [(i, j) for i in range(side) for j in range(side)]
    return torch.tensor(
        [[(a - c + side - 1) * (2 * side - 1) + b - d + side - 1 for c, d in places] for a, b in places]
    )


def mask_by_loops(grid: int, side: int) -> Tensor:
    """−100 between tokens of which one came round the border and the other did not."""
    shift, found = side // 2, []
    for top in range(0, grid, side):
        for left in range(0, grid, side):
            places = [
                (top + i + shift >= grid, left + j + shift >= grid) for i in range(side) for j in range(side)
            ]
            found.append([[0.0 if a == b else -100.0 for b in places] for a in places])
    return torch.tensor(found)


def with_buffers(state: dict[str, Tensor], grid: int) -> dict[str, Tensor]:
    """As published: an index in every block, a mask in those that are shifted on a grid larger than the window."""
    found = dict(state)
    for key in state:
        if key.endswith("relative_position_bias_table"):
            stem = key.removesuffix("attn.relative_position_bias_table")
            found[f"{stem}attn.relative_position_index"] = index_by_loops(SWIN_WINDOW)
            stage, number = (int(key.split("layers.")[1].split(".")[i]) for i in (0, 2))
            if number % 2 == 1 and grid >> stage > SWIN_WINDOW:
                found[f"{stem}attn_mask"] = mask_by_loops(grid >> stage, SWIN_WINDOW)
    return found


@pytest.mark.parametrize("name", SWINS)
def test_buffers_beside_the_weights_are_compared_and_not_read(name: str, tmp_path: Path) -> None:
    layout = small(name)
    state = weights(layout)
    encoder = load_foreign(layout, write(layout, with_buffers(state, 24), tmp_path / "with.pth"))
    plain = load_foreign(layout, write(layout, state, tmp_path / "without.pth"))
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    assert encoder.report is not None
    skipped = [row for row in encoder.report.rows if row.note == "computed here"]
    models = 2 if name == "gfm_swin_base" else 1
    # Eight blocks have an index; of the four that are shifted, those on grids of 24, 12 and 6 have a mask.
    assert len(skipped) == models * (8 + 3)
    assert {row.status for row in skipped} == {Status.SKIPPED}


def spoiled_index(index: Tensor) -> Tensor:
    return index.T.contiguous()  # keys and queries exchanged


BUFFERS = {
    "index transposed": ("relative_position_index", spoiled_index),
    "index of no square": ("relative_position_index", lambda x: x[:8, :8]),
    "index cut": ("relative_position_index", lambda x: x[:-1]),
    "index flat": ("relative_position_index", torch.flatten),
    "mask of zeros": ("attn_mask", torch.zeros_like),
    "mask of another shift": ("attn_mask", lambda x: x.flip(-1)),
    "mask without windows": ("attn_mask", lambda x: x[:0]),
    "mask flat": ("attn_mask", torch.flatten),
    "mask not finite": ("attn_mask", lambda x: x / 0),
}  # fmt: skip


@pytest.mark.parametrize(("end", "spoil"), BUFFERS.values(), ids=list(BUFFERS))
def test_a_buffer_that_says_something_else_is_refused_by_name(end: str, spoil: Any, tmp_path: Path) -> None:
    layout = small("gfm_finetune_ben_img128_window4")
    state = with_buffers(weights(layout), 24)
    key = next(key for key in state if key.startswith("layers.1.blocks.1.") and key.endswith(end))
    state[key] = spoil(state[key])
    path = write(layout, state, tmp_path / "file.pth")
    (row,) = inspect(layout, path).problems
    assert (row.foreign, row.status) == (key, Status.NOT_OURS)
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        load_foreign(layout, path)


@pytest.mark.parametrize(
    ("change", "status"),
    [("missing", Status.MISSING), ("misshapen", Status.MISSHAPEN), ("extra", Status.UNEXPECTED)],
)
@pytest.mark.parametrize(
    "key", ["layers.2.downsample.reduction.weight", "layers.1.blocks.0.attn.relative_position_bias_table"]
)
def test_a_tensor_of_the_pyramid_that_does_not_fit_is_refused_by_name(
    key: str, change: str, status: Status, tmp_path: Path
) -> None:
    layout = small("swin_base_patch4_window7_224_22k")
    state = weights(layout)
    if change == "missing":
        del state[key]
    elif change == "misshapen":  # a table of another window, a map to another width
        state[key] = state[key][:-1]
    else:
        key = "absolute_pos_embed"
        state[key] = torch.zeros(1, 9, 8)
    path = write(layout, state, tmp_path / "file.pth")
    (row,) = inspect(layout, path).problems
    assert (row.foreign, row.status) == (key, status)
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        load_foreign(layout, path)


def test_heads_and_windows_of_the_published_model_are_those_of_its_tables() -> None:
    with torch.device("meta"):
        encoder = build(read_layout("gfm_swin_base"))
    assert isinstance(encoder, SwinEncoder)
    assert [len(stage.blocks) for stage in encoder.stages] == [2, 2, 18, 2]
    assert [stage.width for stage in encoder.stages] == [128, 256, 512, 1024]
    assert [block.attn.heads for block in encoder.blocks] == [4] * 2 + [8] * 2 + [16] * 18 + [32] * 2
    assert {block.attn.side for block in encoder.blocks} == {6}
    # At 192 px the last grid is the window itself: the published file has no mask there.
    grids = [48] * 2 + [24] * 2 + [12] * 18 + [6] * 2
    shifts = [block.windows(n, n).shift for block, n in zip(encoder.blocks, grids, strict=True)]
    assert shifts == [0, 3] * 11 + [0, 0]


@pytest.mark.parametrize("shape", [(2, 3, 12), (2, 4, 12, 12), (2, 3, 13, 12), (2, 3, 12, 0)], ids=str)
def test_pixels_that_do_not_fit_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    encoder, _ = loaded("gfm_swin_base", tmp_path)
    with pytest.raises(InputError, match="multiples of 4"):
        encoder.forward_tokens(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(InputError, match="takes no gsd_m"):
        encoder.forward_tokens(torch.zeros(1, 3, 12, 12, dtype=torch.float64), gsd_m=1.0)
