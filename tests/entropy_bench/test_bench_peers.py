"""The rivals and the jobs of the entropy benchmark."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.entropy import (
    archive,
    byte_planes,
    child,
    compressai_parts,
    latents,
    peers,
    rates,
    real_latents,
)
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.peer_zstd import Zstd
from benchmarks.numbers import load_targets


@pytest.fixture(scope="module")
def drawn() -> latents.LatentSet:
    """Large enough for htscodecs, which codes 1,000 bytes and less otherwise."""
    return latents.make("dense", 2, channels=64)


@pytest.mark.parametrize("key", peers.PEERS)
def test_a_rival_gives_back_what_it_was_given(key: str, drawn: latents.LatentSet) -> None:
    try:
        peer = peers.PEERS[key]()
    except Missing as reason:
        pytest.skip(str(reason))
    peer.prepare(drawn)
    size = peers.check(peer, drawn)
    assert 8 * size >= 0.99 * drawn.cross_entropy_bits()  # nobody beats the entropy by more than chance
    assert peer.n_bytes(peer.encode()) == size


def test_a_rival_that_is_wrong_is_not_timed(drawn: latents.LatentSet) -> None:
    peer = Zstd(1)
    peer.prepare(drawn)
    other = latents.make("dense", 2, seed=9, channels=64)
    with pytest.raises(ValueError, match="zstd -1 does not give back"):
        peers.check(peer, other)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_byte_planes_come_back(dtype: type) -> None:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(1).integers(limits.min, limits.max, (3, 4, 5), dtype=dtype, endpoint=True)
    data = byte_planes.byte_planes(values)
    assert data.dtype == np.uint8
    assert data.size == values.nbytes
    assert np.array_equal(byte_planes.from_byte_planes(data, values.shape), values)


def test_tables_for_compressai_are_cumulative_and_leave_room_for_the_escape() -> None:
    frequencies = latents.integer_frequencies(np.eye(121)[[59]] * 0.25 + np.eye(121)[[60]] * 0.75)
    ((row,), (size,), (offset,)) = compressai_parts.tables(frequencies)
    assert row == [0, 16384, 65535, 65536]  # −1, 0, escape
    assert (size, offset) == (4, -1)


def test_the_products_tables_become_signed_distributions() -> None:
    from codec.transform.tables import Level

    f = real_latents._signed(Level((32_768, 49_152), 1.0, 0.0))
    assert f.sum() == 65_536
    assert f[60 - 1] == f[60 + 1] == 8_192
    assert f[60 + 2] == 0
    assert real_latents._signed(None)[60] == 65_536


def test_every_target_of_a_ratio_names_a_rival_that_is_measured() -> None:
    names = set()
    for make in peers.PEERS.values():
        try:
            names.add(make().name)
        except Missing:
            pytest.skip("not all rivals are installed, so their names are not known")
    names |= {"avx2", "decode to int8", "one thread"}
    targets = [t for t in load_targets() if t.suite == "entropy"]
    assert len(targets) > 40
    assert {t.rival for t in targets if t.rival} <= names


def test_targets_of_archives_name_cases_that_are_measured() -> None:
    cases = {t.case for t in load_targets() if t.suite == "entropy" and t.case.startswith("archive")}
    assert cases == {
        archive.case(n, isa) for n in ("dense", "sparse") for isa in ("avx2", "avx512", "scalar")
    }


def test_targets_of_rates_name_the_size_classes() -> None:
    cases = {t.case for t in load_targets() if t.suite == "entropy" and t.case.startswith("rate")}
    assert cases == {f"rate, records of {size.name}" for size in rates.CLASSES}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWATHPACK_BENCH_QUICK", "1")


@pytest.mark.usefixtures("quick")
def test_a_job_runs_in_its_own_process_and_its_rows_come_back() -> None:
    rows = child.run("scalar", "memory", name="dense")
    assert {row.case for row in rows} == {"archive, dense, scalar, token order"}
    assert all(row.isa_or_device.startswith("scalar (") for row in rows)
    in_memory = next(row.value for row in rows if row.metric == "symbols in memory")
    assert in_memory == pytest.approx(2 * 196 * 768 / 1e6)
    assert "SWATHPACK_ISA" not in os.environ


def test_a_back_end_that_is_not_there_is_missing() -> None:
    with pytest.raises(Missing, match="no back end pdp11"):
        child.run("pdp11", "memory", name="dense")


def test_a_job_that_fails_says_what_failed() -> None:
    with pytest.raises(RuntimeError, match="no-such-job"):
        child.run("scalar", "no-such-job")


@pytest.mark.usefixtures("quick")
def test_two_processes_take_turns_with_equal_records() -> None:
    with child.workers(("scalar", "scalar"), "dense") as (one, other):
        assert one.records == other.records
        assert one.seconds("decode", 0) > 0
        assert other.seconds("encode", 1) > 0
