"""Which layers a recipe trains: each set holds all of the one before, and the fourth is the published one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import torch
from small_nec import needs_compressai, recipe, small, views

from codec.errors import UsageError
from codec.nec.encoders import open_masked
from codec.nec.mae import DecoderShape, MaskedAutoencoder
from codec.nec.published import Nec2024
from codec.nec.recipe import Trainable, load_recipe
from codec.nec.samples import Samples
from codec.nec.train import CHECKPOINT, Run, train

pytestmark = needs_compressai
SETS: tuple[Trainable, ...] = get_args(Trainable)


def trained(name: Trainable | None, start: str = "vit-nano/8@s2") -> set[str]:
    torch.manual_seed(0)
    model = Nec2024(MaskedAutoencoder(open_masked(start, root=Path("models")), DecoderShape(32, 2)))
    model.train_set(name)
    return set(model.trained())


def run_of(**changes: object) -> Run:
    torch.manual_seed(9)
    model = Nec2024(small())
    return Run(recipe(**changes), model, Samples.of(views(), model.encoder, 8), "s")


@pytest.mark.parametrize("start", ["vit-nano/8@s2", "s2-nano"])
def test_each_set_holds_all_before_it_and_the_fourth_is_the_published_one(start: str) -> None:
    found = [trained(name, start) for name in SETS]
    for smaller, larger in pairwise(found):
        assert smaller < larger
    assert found[3] == trained(None, start)


def test_the_sets_are_what_they_are_called() -> None:
    found = {name: trained(name) for name in SETS}
    assert all(name.startswith("bottleneck.") for name in found["entropy"])
    embedding = found["patch-embedding"] - found["entropy"]
    assert embedding == {
        f"autoencoder.encoder.{name}"
        for name in ("cls_token", "patch_embed.proj.weight", "patch_embed.proj.bias")
    }
    last = found["last-block"] - found["patch-embedding"]
    assert {name.split(".")[2] for name in last} == {"blocks", "norm"}
    assert {name.split(".")[3] for name in last if ".blocks." in name} == {"3"}
    assert all(
        name.startswith("autoencoder.decoder.") for name in found["first-decoder-block"] - found["last-block"]
    )
    assert "autoencoder.encoder.blocks.0.attn.qkv.weight" in found["all"]


@pytest.mark.parametrize("name", SETS)
def test_a_step_moves_the_set_and_nothing_else(name: Trainable) -> None:
    run = run_of(trainable=name)
    before = {key: p.detach().clone() for key, p in run.model.named_parameters()}
    run.advance()
    moved = {key for key, p in run.model.named_parameters() if not torch.equal(before[key], p)}
    assert moved
    assert moved <= set(run.model.trained())


def test_a_run_begun_before_sets_could_be_chosen_goes_on(tmp_path: Path) -> None:
    first = run_of()
    first.advance()
    del first.begun["recipe"]["trainable"]
    first.save(tmp_path / CHECKPOINT)
    second = run_of()
    assert train(second, tmp_path, tell=lambda text: None)
    assert second.step == 4


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UsageError, match="trainable"):
        load_recipe("nec-2024", ["trainable=first-block"])
