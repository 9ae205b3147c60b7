"""What only the other bands show, an adapter learns and a frozen encoder does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.adapt import Adapted, apply
from codec.adapt.deflect import Deflected
from codec.adapt.training import NO_CLASS, Labelled, TaskRecipe, logits, train
from codec.adapt.types import Method
from codec.errors import InputError
from codec.models.vit import Encoder, EncoderConfig

BANDS = ("blue", "green", "red", "nir", "swir16")
RECIPE = TaskRecipe(steps=60, batch=8, rate=5e-3, head_rate=1e-2)


def encoder() -> Encoder:
    torch.manual_seed(0)
    config = EncoderConfig(bands=("blue", "green", "red"), tile=32, width=32, depth=2, heads=4)
    return Encoder(config).eval()


def tiles(seed: int, *, dense: bool = False) -> Labelled:
    """Colours say nothing; a patch's near infrared says its class."""
    rng = np.random.default_rng(seed)
    n, side = 24, 32 // 8
    labels = rng.integers(0, 2, (n, side, side) if dense else n)
    pixels = rng.uniform(0.05, 0.3, (n, len(BANDS), 32, 32)).astype(np.float32)
    level = np.repeat(np.repeat(labels, 8, 1), 8, 2) if dense else labels[:, None, None]
    pixels[:, 3] = 0.15 + 0.3 * level + rng.normal(0, 0.02, (n, 32, 32))
    return Labelled(
        pixels, np.ones((n, len(BANDS)), np.bool_), np.ones((n, 32, 32), np.bool_), labels, ("low", "high")
    )


def accuracy(found: np.ndarray, data: Labelled) -> float:
    return float((found.argmax(-1) == data.labels).mean())


@pytest.mark.parametrize("dense", [False, True])
def test_deflect_learns_what_only_another_band_shows(dense: bool) -> None:
    base = encoder()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    learned = {}
    for method, settings in (("deflect", {"layers": "all"}), ("frozen", {"inputs": "own"})):
        adapted = apply(base, method, BANDS, **settings)  # type: ignore[arg-type]
        head = train(adapted, tiles(0, dense=dense), RECIPE)
        learned[method] = accuracy(logits(adapted, head, tiles(1, dense=dense)), tiles(1, dense=dense))
    assert learned["deflect"] > 0.9
    assert learned["frozen"] < 0.7
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items())


def test_the_seed_decides() -> None:
    found = []
    for seed in (0, 0, 1):
        adapted = apply(encoder(), "lora", BANDS, rank=2)
        head = train(adapted, tiles(0), RECIPE.model_copy(update={"steps": 4, "seed": seed}))
        found.append(logits(adapted, head, tiles(1)))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_labels_turn_with_their_tiles() -> None:
    """Of a picture whose class is where its near infrared is high, every turn is right: the loss falls to nothing."""
    losses: list[float] = []
    adapted = apply(encoder(), "deflect", BANDS, layers="all")
    train(
        adapted,
        tiles(3, dense=True),
        RECIPE.model_copy(update={"steps": 120}),
        lambda _, loss: losses.append(loss),
    )
    assert np.mean(losses[-10:]) < 0.2 * losses[0]


@pytest.mark.parametrize("dense", [False, True])
def test_what_is_found_once_is_what_every_step_would_find(
    dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics turn with their tile, whichever way."""
    losses: list[list[float]] = []
    for once in (True, False):
        if not once:
            monkeypatch.setattr(Deflected, "described", Adapted.described)
        adapted = apply(encoder(), "deflect", BANDS, layers="all")
        losses.append([])
        train(adapted, tiles(0, dense=dense), RECIPE, lambda step, loss: losses[-1].append(loss))
    assert losses[0] != [losses[0][0]] * len(losses[0])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_an_adapter_goes_on_with_the_statistics_it_was_trained_with() -> None:
    adapted = apply(encoder(), "deflect", BANDS)
    train(adapted, tiles(0), RECIPE.model_copy(update={"steps": 1}))
    before = {name: value.clone() for name, value in adapted.stored_beside().items()}
    darker = tiles(1)
    darker.pixels[:] *= 0.5
    train(adapted, darker, RECIPE.model_copy(update={"steps": 1}))
    assert all(torch.equal(before[name], value) for name, value in adapted.stored_beside().items())


def test_unknown_labels_take_no_part() -> None:
    data = tiles(0, dense=True)
    labels = data.labels.copy()
    labels[:, 1:] = NO_CLASS
    labels[:5] = NO_CLASS
    partly = Labelled(data.pixels, data.present, data.validity, labels, data.classes)
    adapted = apply(encoder(), "deflect", BANDS, layers="all")
    head = train(adapted, partly, RECIPE)
    assert accuracy(logits(adapted, head, tiles(1, dense=True)), tiles(1, dense=True)) > 0.8
    nothing = Labelled(data.pixels, data.present, data.validity, np.full_like(labels, NO_CLASS), data.classes)
    with pytest.raises(InputError, match="no tile has a label"):
        train(adapted, nothing, RECIPE)


@pytest.mark.parametrize("method", ["frozen", "deflect"])
def test_one_tile_teaches_without_answers_that_run_away(method: Method) -> None:
    """No feature of its mean token varies over the training set, and a turn changes each of them a little."""
    data = tiles(0)
    adapted = apply(encoder(), method, BANDS)
    head = train(adapted, data.part(np.arange(len(data)) == 0), RECIPE)
    found = logits(adapted, head, tiles(1))
    assert np.abs(found).max() < 50
    assert (found[:, data.labels[0]] > found[:, 1 - data.labels[0]]).mean() > 0.9


def test_a_class_that_is_only_asked_for_later_is_a_class_like_any_other() -> None:
    data = tiles(0)
    three = Labelled(data.pixels, data.present, data.validity, data.labels, (*data.classes, "never seen"))
    adapted = apply(encoder(), "deflect", BANDS, layers="all")
    head = train(adapted, three, RECIPE)
    found = logits(adapted, head, tiles(1))
    assert found.shape == (len(data), 3)
    assert accuracy(found, tiles(1)) > 0.9


def test_a_tile_without_a_valid_pixel_has_an_answer() -> None:
    data = tiles(0)
    pixels, validity = data.pixels.copy(), data.validity.copy()
    pixels[3], validity[3] = np.nan, False
    adapted = apply(encoder(), "deflect", BANDS)
    partly = Labelled(pixels, data.present, validity, data.labels, data.classes)
    head = train(adapted, partly, RECIPE.model_copy(update={"steps": 5}))
    assert np.isfinite(logits(adapted, head, partly)).all()


def test_what_does_not_fit_is_refused() -> None:
    data = tiles(0)
    with pytest.raises(InputError, match="there is no tile"):
        data.part(np.zeros(len(data), np.bool_))
    coarse = Labelled(data.pixels, data.present, data.validity, np.zeros((24, 2, 2), np.int64), data.classes)
    with pytest.raises(InputError, match=r"another grid than the tokens.*24×4×4.*24×2×2"):
        train(apply(encoder(), "frozen", BANDS), coarse, RECIPE)
    with pytest.raises(InputError, match="outside the classes"):
        Labelled(data.pixels, data.present, data.validity, data.labels + 1, data.classes)
    with pytest.raises(InputError, match="validity"):
        Labelled(data.pixels, data.present, data.validity[:, :16], data.labels, data.classes)
    broken = data.pixels.copy()
    broken[:, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        Labelled(broken, data.present, data.validity, data.labels, data.classes)


def test_arrays_of_another_kind_are_refused_with_the_remedy() -> None:
    data = tiles(0)
    parts = (data.pixels, data.present, data.validity, data.labels)
    for number, kind in ((1, np.float32), (2, np.uint8), (3, np.float64), (3, np.int32)):
        given = [part.astype(kind) if i == number else part for i, part in enumerate(parts)]
        with pytest.raises(InputError, match=r"bool, bool and int64.*astype"):
            Labelled(*given, data.classes)
    with pytest.raises(InputError, match="N×C×H×W"):
        Labelled(data.pixels[0], *parts[1:], data.classes)


@pytest.mark.parametrize("how", ["constant", "never measured"])
def test_a_band_that_never_changes_is_named_once_and_not_learned(how: str) -> None:
    data = tiles(0)
    pixels, present = data.pixels.copy(), data.present.copy()
    if how == "constant":
        pixels[:, 3] = 0.2
    else:
        present[:, 3] = False
    flat = Labelled(pixels, present, data.validity, data.labels, data.classes)
    adapted = apply(encoder(), "deflect", BANDS)
    once = RECIPE.model_copy(update={"steps": 1})
    with pytest.warns(UserWarning, match=r"same in all training tiles.*mean of nir") as told:
        head = train(adapted, flat, once)
    assert len(told) == 1
    assert "mean of red" not in str(told[0].message)
    assert np.isfinite(logits(adapted, head, data)).all()


def test_the_head_standardises_the_labelled_tokens_of_the_frozen_start() -> None:
    data, base = tiles(0, dense=True), encoder()
    data.labels[:, 0] = NO_CLASS
    adapted = apply(base, "deflect", BANDS, layers="all")
    head = train(adapted, data, RECIPE.model_copy(update={"steps": 3}))
    with torch.no_grad():
        tokens = torch.cat(
            [base(x[:, :3], there[:, :3], valid)["tokens"] for x, there, valid in data.batches()]
        )
    known = tokens[torch.from_numpy(data.labels != NO_CLASS)]
    torch.testing.assert_close(head.mean, known.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(head.inverse_spread, 1 / known.std(0, correction=0), atol=1e-4, rtol=1e-3)
