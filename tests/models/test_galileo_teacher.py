"""The teacher against a second forward pass, written in numpy from the published description."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import InputError
from codec.models.galileo import GROUPS, TEACHER_BANDS, GalileoTeacher, load_teacher

BANDS = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
# Published statistics of the model's inputs (digital numbers), in the order of BANDS.
MEANS = (
    1395.34087,
    1338.40269,
    1343.09884,
    1543.8608,
    2186.2022,
    2525.09329,
    2410.33772,
    2750.28546,
    2234.9111,
    1474.53113,
)
STDS = (
    917.70414,
    913.29884,
    1092.67872,
    1047.22061,
    1048.01012,
    1143.6903,
    1098.97918,
    1204.47276,
    1145.97741,
    980.24298,
)
LAYOUT = (  # checkpoint name, row of the channel embedding, indices into BANDS (−1: NDVI)
    ("S2_RGB", 1, (0, 1, 2)),
    ("S2_Red_Edge", 2, (3, 4, 5)),
    ("S2_NIR_10m", 3, (6,)),
    ("S2_NIR_20m", 4, (7,)),
    ("S2_SWIR", 5, (8, 9)),
    ("NDVI", 6, (-1,)),
)


def sines(position: float) -> list[float]:
    omega = [10000.0 ** -(k / 16 / 2.0) for k in range(8)]
    return [math.sin(position * w) for w in omega] + [math.cos(position * w) for w in omega]


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def reference(state: dict[str, np.ndarray], reflectance: np.ndarray, side: int) -> np.ndarray:
    """One tile, C×H×W; loops instead of reshapes, float64."""
    dn = reflectance * 1e4
    planes = [(dn[i] - (MEANS[i] - 2 * STDS[i])) / (4 * STDS[i]) for i in range(10)]
    planes.append((dn[6] - dn[2]) / (dn[6] + dn[2]))
    sequence = []
    for name, row, members in LAYOUT:
        weight, bias = (state[f"space_time_embed.{name}.proj.{part}"] for part in ("weight", "bias"))
        for r in range(side):
            for c in range(side):
                patch = np.stack([planes[m][r * 8 : r * 8 + 8, c * 8 : c * 8 + 8] for m in members])
                token = (weight * patch[None]).sum((1, 2, 3)) + bias
                code = [
                    *state["s_t_channel_embed"][row],
                    *state["pos_embed"][0],
                    *state["month_embed.weight"][6],
                ]
                sequence.append(token + np.array([*code, *sines(8.0 * c), *sines(8.0 * r)]))
    x = np.array(sequence)
    for k in range(4):
        p = {
            key.removeprefix(f"blocks.{k}."): v for key, v in state.items() if key.startswith(f"blocks.{k}.")
        }
        y = layer_norm(x, p["norm1.weight"], p["norm1.bias"])
        q, key, value = (y @ p[f"attn.{n}.weight"].T + p[f"attn.{n}.bias"] for n in "qkv")
        heads = []
        for h in range(8):
            part = slice(16 * h, 16 * h + 16)
            scores = q[:, part] @ key[:, part].T / 4.0
            scores = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(scores / scores.sum(1, keepdims=True) @ value[:, part])
        x = x + np.concatenate(heads, axis=1) @ p["attn.proj.weight"].T + p["attn.proj.bias"]
        y = layer_norm(x, p["norm2.weight"], p["norm2.bias"]) @ p["mlp.fc1.weight"].T + p["mlp.fc1.bias"]
        y = 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = x + y @ p["mlp.fc2.weight"].T + p["mlp.fc2.bias"]
    x = layer_norm(x, state["norm.weight"], state["norm.bias"])
    return x.reshape(len(LAYOUT), side, side, -1).mean(0)


@pytest.mark.shared_data
def test_teacher_agrees_with_a_numpy_forward_pass(shared_data: Path) -> None:
    folder = shared_data / "galileo_nano"
    state = {
        k: v.double().numpy()
        for k, v in torch.load(folder / "encoder.pt", map_location="cpu", weights_only=True).items()
    }
    pixels = np.random.default_rng(0).uniform(0.02, 0.4, (10, 24, 24))
    expected = reference(state, pixels, side=3)
    with torch.no_grad():
        found = load_teacher(folder)(torch.from_numpy(pixels).float()[None], BANDS)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.shared_data
@pytest.mark.parametrize("change", ["renamed", "missing", "transposed", "unknown modality"])
def test_a_changed_checkpoint_is_refused(shared_data: Path, tmp_path: Path, change: str) -> None:
    folder = shared_data / "galileo_nano"
    state = torch.load(folder / "encoder.pt", map_location="cpu", weights_only=True)
    key = "blocks.2.mlp.fc1.weight"
    if change == "renamed":
        state["blocks.2.mlp.fc3.weight"] = state.pop(key)
    elif change == "missing":
        del state[key]
    elif change == "transposed":
        state[key] = state[key].T.contiguous()
    else:
        state["space_time_embed.LIDAR.proj.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "encoder.pt")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(InputError, match="LIDAR" if change == "unknown modality" else "fc1"):
        load_teacher(tmp_path)


def test_only_groups_whose_bands_are_there_take_part() -> None:
    teacher = GalileoTeacher()
    assert list(teacher.groups(("red", "green", "blue"))) == ["S2_RGB"]
    assert list(teacher.groups(("red", "green", "blue", "nir"))) == ["S2_RGB", "S2_NIR_10m", "NDVI"]
    assert list(teacher.groups(TEACHER_BANDS)) == list(GROUPS)
    with pytest.raises(InputError, match="band group"):
        teacher.tokens_by_group(torch.rand(1, 1, 16, 16), ("swir16",))


def test_bands_are_found_by_name_not_by_position() -> None:
    torch.manual_seed(0)
    teacher = GalileoTeacher().eval()
    pixels = torch.rand(2, 10, 32, 32) * 0.3
    order = torch.randperm(10).tolist()
    with torch.no_grad():
        plain = teacher(pixels, BANDS)
        shuffled = teacher(pixels[:, order], tuple(BANDS[i] for i in order))
    assert torch.equal(plain, shuffled)
