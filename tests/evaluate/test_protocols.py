"""Each protocol on a small world whose answer is known, and its parts by hand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate import blocked, few_label, fixed, robust
from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.dense import METRICS, blocks_of, patch_statistics
from codec.evaluate.features import random_twin, teacher_tokens, without_position
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, Subject, compared
from codec.evaluate.properties import position_share, seam_ratio
from codec.evaluate.protocols import PROTOCOLS, Setting, run
from codec.evaluate.rows import Row
from codec.evaluate.strata import at_pixels, rectangle, windowed
from codec.evaluate.token_maps import Picture, coarser, cover, token_map
from codec.models.bands import S2_NANO_BANDS
from codec.models.galileo import GalileoTeacher
from codec.models.vit import EncoderConfig

TINY = EncoderConfig(width=16, depth=1, heads=2)


@lru_cache(maxsize=3)
def small_world(data: Path, split: str) -> sets.LabelledTiles:
    """Four classes of different brightness in ten cells; everything can be told apart."""
    n = 40 if split == "train" else 20
    rng = np.random.default_rng(len(split))
    labels = np.arange(n) % 4
    pixels = (0.05 + 0.1 * labels.astype(np.float32))[:, None, None, None] * np.ones((12, 64, 64), np.float32)
    pixels += np.float32(0.01) * rng.standard_normal((n, 12, 1, 1), dtype=np.float32)
    pixels[:, :, ::2] *= np.float32(1.1)  # some texture, so that no spread is zero
    return sets.LabelledTiles(
        pixels,
        np.ones((n, 12), np.bool_),
        np.ones((n, 64, 64), np.bool_),
        labels,
        np.arange(n) // (n // 10),
        tuple("abcd"),
    )


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    """Two untrained seeds in the small world."""
    monkeypatch.setattr(sets, "_eurosat_split", small_world)
    encoders = [random_twin(TINY, seed) for seed in (5, 6)]
    return Bank(
        Subject("tiny", seeds="5,6"), encoders, Path("none"), rivals=("pixel-statistics", "random-twin")
    )


def named(rows: list[Row]) -> dict[tuple[str, str, str], Row]:
    found = {(r.case, r.metric, r.rival): r for r in rows}
    assert len(found) == len(rows)  # nothing is written twice
    return found


def test_the_fixed_split_finds_what_is_there_and_states_what_it_could_show(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {"12-bands": S2_NANO_BANDS, "4-bands": ("blue", "green", "red", "nir")}
    monkeypatch.setattr(bank, "cases", lambda: cases)
    found = named(fixed.rows(bank, "unseen"))
    for case in cases:
        for feature in ("tiny", "tiny-twin", "pixel-statistics"):
            row = found[f"eurosat-unseen/{case}/{feature}", "probe-accuracy", ""]
            assert row.value >= 90.0
            assert row.n == 40
        for rival in ("pixel-statistics", "random-twin"):
            row = found[f"eurosat-unseen/{case}/tiny", "probe-log-loss-difference", rival]
            smallest = found[f"eurosat-unseen/{case}/tiny", "probe-log-loss-smallest-difference", rival]
            assert row.seeds == "5,6"
            assert row.lo is not None
            assert row.hi is not None
            assert smallest.value == pytest.approx((row.hi - row.lo) / 2)
    fewer = found["eurosat-unseen/4-bands/tiny", "probe-accuracy-difference", "12-bands"].value
    both = [found[f"eurosat-unseen/{c}/tiny", "probe-accuracy", ""].value for c in ("4-bands", "12-bands")]
    assert fewer == pytest.approx(both[0] - both[1])


def test_the_blocked_protocol_counts_unseen_tiles_alone(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "REPEATS", 1)
    monkeypatch.setattr(blocked, "CASES", ("3",))
    monkeypatch.setattr(bank, "functions", {"tiny": bank.functions["tiny"][:1]})
    assert named(blocked.rows(bank, "val"))["eurosat-blocked-val/3-bands/tiny", "probe-accuracy", ""].n == 20
    rows = named(blocked.rows(bank, "unseen"))
    assert rows["eurosat-blocked-unseen/3-bands/tiny", "probe-accuracy", ""].n == 40
    assert rows["eurosat-blocked-unseen/3-bands/tiny", "probe-accuracy", ""].value >= 90.0


def test_choices_read_no_test_tile(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_test(data: Path, split: str) -> sets.LabelledTiles:
        assert split != "test"
        return small_world(data, split)

    monkeypatch.setattr(sets, "_eurosat_split", without_test)
    monkeypatch.setattr(blocked, "REPEATS", 1)
    monkeypatch.setattr(few_label, "LABELS", (1,))
    monkeypatch.setattr(bank, "functions", {"tiny": bank.functions["tiny"][:1]})
    monkeypatch.setattr(bank, "cases", lambda *_: {"3-bands": ("blue", "green", "red")})
    setting = Setting("val", Path("none"), {})
    assert run(["fixed", "few-label", "blocked", "robust"], bank, setting)
    with pytest.raises(AssertionError):
        fixed.rows(bank, "test")


def test_an_unknown_protocol_is_refused_before_any_work(bank: Bank) -> None:
    with pytest.raises(InputError, match="no protocol guess"):
        run(["fixed", "guess"], bank, Setting("val", Path("none"), {}))
    assert {"fixed", "few-label", "blocked", "dense", "ucmerced", "robust", "properties"} <= set(PROTOCOLS)


def test_draws_have_as_many_of_every_class_and_are_the_same_for_all() -> None:
    labels = np.repeat(np.arange(4), 10)
    for per_class in (1, 5):
        chosen = few_label.draws(labels, per_class)
        assert len(chosen) == 20
        assert all((np.bincount(labels[mask]) == per_class).all() for mask in chosen)
        assert np.array_equal(chosen, few_label.draws(labels, per_class))
        assert len({mask.tobytes() for mask in chosen}) > 15


def test_few_labels_are_enough_where_classes_are_points_and_useless_in_noise() -> None:
    y = np.arange(80) % 4
    points = np.eye(4, dtype=np.float32)[y]
    assert few_label.accuracy(points[:40], y[:40], points[40:], y[40:], 1).mean() == 1.0
    noise = np.random.default_rng(0).standard_normal((80, 4)).astype(np.float32)
    assert few_label.accuracy(noise[:40], y[:40], noise[40:], y[40:], 1).mean() < 0.45


def test_changes_are_what_they_say() -> None:
    pixels = np.full((1, 3, 4, 4), 0.2, np.float32)
    bands = ("blue", "red", "swir22")
    assert robust.haze(pixels, bands)[0, :, 0, 0] == pytest.approx([0.2 - 0.0375, 0.2 - 0.0165, 0.2 - 0.0005])
    assert robust.gain(pixels, bands) == pytest.approx(0.17)
    assert robust.offset(pixels, bands) == pytest.approx(0.3)
    assert np.abs(robust.rounding(pixels, bands) - 0.2).max() <= 0.2 / 255 + 1e-7
    assert robust.blur(pixels, bands) == pytest.approx(0.2)
    ramp = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    assert robust.blur(ramp, ("red",)).mean() == pytest.approx(ramp.mean())
    assert np.ptp(robust.blur(ramp, ("red",))) < np.ptp(ramp)


def test_a_change_leaves_absent_bands_absent() -> None:
    tiles = sets.Scenes(small_world(Path(), "val"), S2_NANO_BANDS, np.repeat("val", 20))
    moved = robust.changed(tiles.with_bands(("red",)), robust.offset)
    red = S2_NANO_BANDS.index("red")
    assert not np.delete(moved.tiles.pixels, red, axis=1).any()
    assert np.allclose(moved.tiles.pixels[:, red] - tiles.tiles.pixels[:, red], 0.1)


def test_a_forgotten_offset_ruins_statistics_and_rounding_does_not(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("pixel-statistics", "tiny")
    monkeypatch.setattr(bank, "functions", {name: bank.functions[name][:1] for name in names})
    found = named(robust.rows(bank, "val"))
    ruined = found["eurosat-val/forgotten-offset/pixel-statistics", "probe-accuracy-difference", "clean"]
    assert ruined.value <= -40
    assert abs(found["eurosat-val/8-bit/pixel-statistics", "probe-accuracy-difference", "clean"].value) <= 10


def test_tiles_cover_a_line_once_whatever_its_length() -> None:
    for length in (64, 72, 128, 152, 208, 224):
        for margin in (0, 8, 16):
            spans = cover(length, 64, margin)
            kept = np.concatenate([np.arange(s.first, s.last) for s in spans])
            assert np.array_equal(kept, np.arange(length))
            for s in spans:
                assert s.start <= s.first < s.last <= s.start + 64 <= length
                assert s.first == 0 or s.first >= s.start + min(margin, s.first - s.start)
    with pytest.raises(InputError, match="smaller than a tile"):
        cover(56, 64, 0)


def test_a_token_map_puts_every_token_in_its_place() -> None:
    """The 'encoder' gives each token its patch's mean, so the map must be the picture's own patch means."""
    pixels = np.random.default_rng(0).random((1, 152, 208)).astype(np.float32)
    picture = Picture(pixels, ("red",), np.ones((152, 208), np.bool_))

    def means(scenes: sets.Scenes) -> np.ndarray:
        x = scenes.tiles.pixels
        return x.reshape(len(x), 1, 8, 8, 8, 8).mean((3, 5)).transpose(0, 2, 3, 1)

    expected = pixels.reshape(19, 8, 26, 8).mean((1, 3))
    for margin in (0, 8, 16):
        found, begins = token_map(means, picture, tile=64, patch=8, margin=margin)
        assert np.allclose(found[:, :, 0], expected, atol=1e-6)
        assert len(begins[0]) >= 2
    with pytest.raises(InputError, match="multiples of the patch"):
        token_map(
            means, Picture(pixels[:, :, :207], ("red",), np.ones((152, 207), np.bool_)), tile=64, patch=8
        )


def test_finer_tokens_are_averaged_to_the_larger_patch() -> None:
    fine = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    assert coarser(fine, 2)[:, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert coarser(fine, 1) is fine


def test_patch_statistics_by_hand() -> None:
    pixels = np.zeros((1, 8, 8), np.float32)
    pixels[0, :4] = 0.4
    found = patch_statistics(Picture(pixels, ("red",), np.ones((8, 8), np.bool_)), context=True)[0, 0]
    assert found == pytest.approx([np.log(0.2), np.log(0.2 + 1e-4), 0.0, 0.4], abs=1e-5)


def test_blocks_are_squares_of_tokens_and_places_stay_apart() -> None:
    a, b = blocks_of((19, 26), 8, 0), blocks_of((19, 26), 8, 1)
    assert len(np.unique(a)) == 3 * 4
    assert not set(np.unique(a)) & set(np.unique(b))
    assert a[0, 0] == a[7, 7] != a[7, 8]


def test_window_statistics_by_hand() -> None:
    """Mean and spread of the log over the valid pixels of the 9×9 window; what is outside does not count."""
    rng = np.random.default_rng(0)
    pixels, validity = rng.uniform(0.1, 0.4, (2, 20, 20)).astype(np.float32), np.ones((20, 20), np.bool_)
    validity[5, 5] = False
    pixels[:, 5, 5] = 9.0
    found = windowed(pixels, validity)
    for row, col in ((10, 10), (0, 0), (6, 7)):
        window = np.s_[max(0, row - 4) : row + 5, max(0, col - 4) : col + 5]
        inside = np.log(pixels[:, window[0], window[1]])[:, validity[window]]
        assert found[row, col, :2] == pytest.approx(np.log(pixels[:, row, col]), abs=1e-5)
        assert found[row, col, 2:4] == pytest.approx(inside.mean(1), abs=1e-4)
        assert found[row, col, 4:] == pytest.approx(inside.std(1), abs=1e-3)


def test_tokens_are_interpolated_at_pixel_centres() -> None:
    """Tokens of 4 pixels with the value of their centre's column: a linear map, exact inside, held at the edges."""
    tokens = np.broadcast_to((np.arange(5) * 4 + 1.5)[None, :, None], (3, 5, 1)).astype(np.float32)
    cols = np.arange(20)
    found = at_pixels(tokens, np.full(20, 5), cols, 4.0)[:, 0]
    assert found == pytest.approx(np.clip(cols, 1.5, 17.5))


def test_the_measured_rectangle_is_found() -> None:
    validity = np.zeros((30, 40), np.bool_)
    validity[4:20, 7:33] = True
    validity[5, 8] = False
    assert rectangle(validity) == (slice(4, 20), slice(7, 33))


def test_position_share_finds_a_planted_code_and_none_in_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, 4, 4, 8))
    assert position_share(noise.astype(np.float32)) < 0.005
    code = rng.standard_normal((4, 4, 8))
    code -= code.mean((0, 1))
    planted = (noise * np.sqrt((code**2).mean()) + code).astype(np.float32)  # equal variance of both parts
    assert position_share(planted) == pytest.approx(0.5, abs=0.02)
    # what removes the teacher's position removes this one, and keeps the mean
    cleaned = without_position(planted, planted)
    assert position_share(cleaned) < 1e-3
    assert cleaned.mean((0, 1, 2)) == pytest.approx(planted.mean((0, 1, 2)), abs=1e-4)


def test_the_teacher_is_shown_the_bands_it_knows_alone() -> None:
    teacher = GalileoTeacher(width=32, depth=1, heads=2).eval()
    tiles = sets.Scenes(small_world(Path(), "val"), S2_NANO_BANDS, np.repeat("val", 20))
    found = teacher_tokens(teacher, tiles.with_bands(("blue", "green", "red", "coastal")))
    assert found.shape == (20, 8, 8, 32)
    spoilt = tiles.with_bands(("blue", "green", "red"))
    assert np.array_equal(found, teacher_tokens(teacher, spoilt))


def test_compared_names_a_twin_after_its_model_and_others_not() -> None:
    groups = np.arange(6)
    sums = {"tiny": mean_sums(np.ones((3, 6)), groups), "random-twin": mean_sums(np.zeros((3, 6)), groups)}
    rows = named(compared(Subject("tiny", seeds="0,1,2"), "place", Metric("accuracy", "%", 100.0), sums, 6))
    assert rows["place/tiny", "accuracy-difference", "random-twin"].value == 100.0
    assert ("place/tiny-twin", "accuracy", "") in rows
    assert [m.name for m in METRICS] == ["accuracy", "macro-f1", "mean-iou"]


@pytest.mark.shared_data
def test_seams_do_not_grow_with_a_margin(root: Path, shared_data: Path) -> None:
    from codec.models import load_encoder

    encoder = load_encoder(root / "models" / "s2-nano" / "encoder.safetensors")
    plain, tiles = seam_ratio(encoder, shared_data)
    assert tiles == 18
    assert plain <= 1.2
    assert seam_ratio(encoder, shared_data, margin=8)[0] <= plain + 0.02
