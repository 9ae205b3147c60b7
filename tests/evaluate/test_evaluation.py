"""Measures agree with hand calculation, rows land in the one schema, and the shipped encoder passes its gate."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from codec.data.bandsets import REPORTED
from codec.data.labelled import eurosat_scenes
from codec.evaluate.classification import (
    interval,
    neighbours_correct,
    pixel_statistics,
    position_share,
    seam_ratio,
    with_bands,
)
from codec.evaluate.report import COLUMNS, Row, write_rows
from codec.heads.pooling import mean_and_spread
from codec.models import embed, load_encoder


def test_position_share_finds_a_planted_code_and_none_in_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, 4, 4, 8))
    assert position_share(noise.astype(np.float32)) < 0.005
    code = rng.standard_normal((4, 4, 8))
    code -= code.mean((0, 1))
    planted = noise * np.sqrt((code**2).mean()) + code  # equal variance of both parts
    assert position_share(planted.astype(np.float32)) == pytest.approx(0.5, abs=0.02)


def test_the_interval_of_equal_groups_is_a_point_and_covers_the_mean() -> None:
    groups = np.repeat(np.arange(5), 4)
    assert interval(np.ones(20), groups) == (1.0, 1.0)
    values = np.random.default_rng(0).random(20)
    low, high = interval(values, groups)
    assert low < values.mean() < high


def test_neighbours_vote_by_direction() -> None:
    train = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 2]], np.float32)
    y = np.array([0, 0, 1, 1])
    right = neighbours_correct(train, y, np.array([[5, 0], [0, 5]], np.float32), np.array([0, 0]), k=2)
    assert right.tolist() == [1.0, 0.0]


def test_rows_replace_their_own_and_keep_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results" / "model.csv"
    nan = float("nan")
    write_rows(
        path,
        "model",
        [Row("a", "m", 1.0, 0.5, 1.5, "%", "", 3), Row("b", "m", 2.0, nan, nan, "", "", 3)],
        seeds="0",
        threads=1,
    )
    write_rows(path, "model", [Row("a", "m", 7.0, nan, nan, "%", "", 4)], seeds="0", threads=1)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {(r["case"], r["value"], r["lo"]) for r in rows} == {("a", "7", ""), ("b", "2", "")}


@pytest.mark.shared_data
def test_the_shipped_encoder_passes_its_gate(root: Path, shared_data: Path) -> None:
    """Nearest neighbours five points above pixel statistics with every band subset, no seams, no position."""
    encoder = load_encoder(root / "models" / "s2-nano" / "encoder.safetensors")
    bands = encoder.config.bands
    fit, held = eurosat_scenes(shared_data, "train", bands), eurosat_scenes(shared_data, "val", bands)
    for keep in (REPORTED["all"], REPORTED["6"], REPORTED["4"], REPORTED["3"]):
        a, b = with_bands(fit, bands, keep), with_bands(held, bands, keep)
        tokens = embed(encoder, a)["tokens"]
        ours = neighbours_correct(
            mean_and_spread(tokens), fit.labels, mean_and_spread(embed(encoder, b)["tokens"]), held.labels
        )
        rival = neighbours_correct(pixel_statistics(a), fit.labels, pixel_statistics(b), held.labels)
        assert ours.mean() >= rival.mean() + 0.05
        assert position_share(tokens) <= 0.05
    ratio, tiles = seam_ratio(encoder, shared_data)
    assert tiles == 18
    assert ratio <= 1.2
