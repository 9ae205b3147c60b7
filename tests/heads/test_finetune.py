"""Fine-tuning: layer-wise rates by the formula, frozen parts that stand still, and a graph of the whole network."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from codec.errors import InputError, InternalError
from codec.heads.attention import AttentionPool
from codec.heads.dense import DenseMap
from codec.heads.descent import Schedule
from codec.heads.finetune import (
    TunedNetwork,
    assert_frozen,
    fit_finetuned,
    freeze,
    layer_of,
    layer_rates,
)
from codec.heads.graphs import tuned_graph
from codec.heads.training_set import TrainingSet
from codec.models.vit import Encoder, EncoderConfig

CONFIG = EncoderConfig(("red", "nir"), tile=16, patch=4, width=16, depth=3, heads=2)
BRIEF = Schedule(steps=6, batch=8, rate=3e-3)


def encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder(CONFIG).eval().requires_grad_(False)


def head(kind: str = "attention") -> AttentionPool | DenseMap:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "attention":
            return AttentionPool(16, 2, width=16, heads=2)
        return DenseMap(16, 2, 4, "linear")


def pixels(n: int, seed: int, start: int = 0) -> TrainingSet:
    """Class 1 has a bright square somewhere; a few pixels are invalid and NaN."""
    rng = np.random.default_rng(seed)
    x = 0.1 + 0.02 * rng.standard_normal((n, 2, 16, 16))
    y = np.arange(n) % 2
    for i in np.flatnonzero(y):
        r, c = rng.integers(12, size=2)
        x[i, :, r : r + 4, c : c + 4] += 0.3
    validity = rng.random((n, 16, 16)) < 0.95
    x = np.where(validity[:, None], x, np.nan)
    tile = np.arange(n) + start
    return TrainingSet(x.astype(np.float32), y, tile, tile, np.ones(n), validity)


def both(n: int) -> np.ndarray:
    return np.ones((n, 2), np.bool_)


def test_each_layer_learns_at_its_own_rate() -> None:
    """Three blocks: D = 4. Stem rate · d⁴, blocks d³ d² d, last norm, projection and head the full rate."""
    network = TunedNetwork(encoder(), head()).requires_grad_(True)
    rates = {}
    for group in layer_rates(network, 1e-3, 0.5):
        for parameter in group["params"]:
            rates[id(parameter)] = group["lr"]
    expected = {
        "encoder.stem.weight": 1 / 16, "encoder.position_gain": 1 / 16, "encoder.stem_norm.bias": 1 / 16,
        "encoder.blocks.0.qkv.weight": 1 / 8, "encoder.blocks.1.fc1.bias": 1 / 4,
        "encoder.blocks.2.norm2.weight": 1 / 2, "encoder.norm.weight": 1, "encoder.project.weight": 1,
        "head.latent": 1, "head.linear.bias": 1,
    }  # fmt: skip
    named = dict(network.named_parameters())
    assert set(map(id, named.values())) == set(rates)
    for name, share in expected.items():
        assert rates[id(named[name])] == pytest.approx(1e-3 * share), name
    assert layer_of("encoder.registers", 3) == 0


def test_norms_biases_gains_and_the_query_do_not_shrink() -> None:
    network = TunedNetwork(encoder(), head()).requires_grad_(True)
    kept = {
        id(p) for g in layer_rates(network, 1e-3, 0.5) if g.get("weight_decay") == 0.0 for p in g["params"]
    }
    names = {name for name, p in network.named_parameters() if id(p) in kept}
    assert {"encoder.position_gain", "encoder.norm.weight", "head.latent", "head.q.bias"} <= names
    assert "encoder.blocks.0.qkv.weight" not in names


def test_frozen_blocks_stand_still_and_the_rest_moves_and_the_original_is_untouched() -> None:
    before = encoder()
    train, held = pixels(24, 0), pixels(8, 1, 1000)
    tuned = fit_finetuned(
        before, head(), train, both(24), held, both(8), 2, frozen_blocks=2, schedule=BRIEF, decay=0.8
    ).network
    still = dict(encoder().named_parameters())
    moved = {name for name, p in tuned.encoder.named_parameters() if not torch.equal(p, still[name])}
    assert moved
    assert all(name.startswith(("blocks.2.", "norm.", "project.")) for name in moved)
    for name, p in before.named_parameters():
        assert torch.equal(p, still[name]), name
    assert not any(module.training for module in tuned.modules())


def test_without_frozen_blocks_every_layer_moves() -> None:
    train, held = pixels(24, 0), pixels(8, 1, 1000)
    tuned = fit_finetuned(encoder(), head(), train, both(24), held, both(8), 2, schedule=BRIEF).network
    still = dict(encoder().named_parameters())
    moved = {n.split(".")[0] for n, p in tuned.encoder.named_parameters() if not torch.equal(p, still[n])}
    assert {"stem", "texture", "blocks", "project", "position_gain"} <= moved


def test_running_statistics_and_dropout_of_a_frozen_part_stand_still() -> None:
    frozen = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    network = nn.Sequential(frozen, nn.Linear(3, 2)).train()
    held = freeze([frozen])
    assert_frozen(held)
    x = torch.randn(8, 3) + 5
    network(x)
    assert torch.equal(frozen[0].running_mean, torch.zeros(3))
    assert torch.equal(frozen(x), frozen(x))
    network.train()  # what a careless loop does
    with pytest.raises(InternalError, match="training mode"):
        assert_frozen(held)
    frozen.eval()
    frozen[0].weight.requires_grad_(True)
    with pytest.raises(InternalError, match="training mode"):
        assert_frozen(held)


def test_fine_tuning_learns_what_the_frozen_random_encoder_s_head_starts_without() -> None:
    train, held = pixels(96, 0), pixels(40, 1, 1000)
    longer = Schedule(steps=120, batch=32, rate=3e-3, checks=6)
    tuned = fit_finetuned(encoder(), head(), train, both(96), held, both(40), 2, schedule=longer)
    found = tuned.logits(held.x, both(40), held.validity).argmax(1)
    assert (found == held.y).mean() > 0.85


@pytest.mark.parametrize("kind", ["attention", pytest.param("dense", marks=pytest.mark.long)])
def test_the_graph_of_a_fine_tuned_network_computes_what_torch_does(kind: str) -> None:
    train, held = pixels(16, 0), pixels(8, 1, 1000)
    if kind == "dense":
        train, held = (
            TrainingSet(
                s.x,
                (np.nan_to_num(s.x[:, 0]) > 0.25).astype(np.int64),
                s.groups,
                s.tile,
                s.weight,
                s.validity,
            )
            for s in (train, held)
        )
    tuned = fit_finetuned(encoder(), head(kind), train, both(16), held, both(8), 2, schedule=BRIEF)
    graph = tuned_graph(tuned)
    model = onnx.load_from_string(graph)
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    x = np.nan_to_num(held.x)
    feeds = {"pixels": x, "bands": both(8).astype(np.float32), "validity": held.validity.astype(np.float32)}
    found = session.run(["logits"], feeds)[0]
    expected = tuned.logits(held.x, both(8), held.validity)
    assert found.shape == expected.shape == ((8, 2) if kind == "attention" else (8, 16, 16, 2))
    assert np.abs(found - expected).max() <= 1e-4


def test_what_cannot_be_fine_tuned_is_refused() -> None:
    train, held = pixels(8, 0), pixels(8, 1, 1000)
    with pytest.raises(InputError, match="bands and tile"):
        fit_finetuned(encoder(), head(), train, np.ones((8, 3), np.bool_), held, both(8), 2)
    with pytest.raises(InputError, match="decay"):
        fit_finetuned(encoder(), head(), train, both(8), held, both(8), 2, decay=1.5)
    with pytest.raises(InputError, match="decay"):
        fit_finetuned(encoder(), head(), train, both(8), held, both(8), 2, frozen_blocks=4)
    with pytest.raises(InputError, match="head gives other outputs"):
        fit_finetuned(encoder(), head("dense"), train, both(8), held, both(8), 2)
    with pytest.raises(InputError, match="head gives other outputs"):
        fit_finetuned(encoder(), head(), train, both(8), held, both(8), 3)
    with pytest.raises(InputError, match="both training and validation"):
        fit_finetuned(encoder(), head(), train, both(8), train, both(8), 2)
