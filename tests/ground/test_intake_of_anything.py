"""Any order, any copies, any stations and passes: the same products. Damage and strangers: counted, named, never fatal."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import ground_scene
import pytest
from ground_scene import TinyScene
from ground_spacecraft import foreign_packet
from ground_story import State, read_state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.errors import ExitCode, SwathpackError
from codec.link import Channel
from ground.config import GroundConfig
from ground.daemon import Observer, serve


class Remarks(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def remark(self, line: str) -> None:
        self.lines.append(line)


def run_once(
    station: Path, models: Path, drops: dict[str, bytes] | None = None, **options: object
) -> ExitCode:
    """Drop files and let the station work them off."""
    (station / "inbox").mkdir(parents=True, exist_ok=True)
    for name, data in (drops or {}).items():
        (station / "inbox" / name).write_bytes(data)
    config = GroundConfig(station=station, models=(models,), once=True, **options)  # type: ignore[arg-type]
    return serve(config, observer=Remarks())


def file_row(station: Path, number: int = 0) -> tuple[object, ...]:
    """state, detail and link of one file."""
    return read_state(station).ledger["files"][number][3:]


@pytest.fixture(scope="module")
def expected(memory: Path, models: Path, scene: TinyScene) -> State:
    station = memory / "expected"
    assert run_once(station, models, {"all.nec": scene.nec}) == ExitCode.OK
    return read_state(station)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_copies_passes_and_ways_give_the_same_products(
    data: st.DataObject, memory: Path, models: Path, scene: TinyScene, expected: State
) -> None:
    packets = scene.packets()
    station = Path(tempfile.mkdtemp(dir=memory)) / "station"
    order = data.draw(st.permutations(range(len(packets))), label="order")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(packets) - 1), max_size=3), label="passes"))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(packets)], strict=True)):
        heard = order[first:last] + data.draw(st.lists(st.sampled_from(order), max_size=5), label="copies")
        run_once(station, models, {f"pass-{number}.bin": b"".join(packets[i] for i in heard)})
        if data.draw(st.booleans(), label="a cut .nec comes too"):
            cut = data.draw(st.integers(160, len(scene.nec)), label="cut at")
            run_once(station, models, {f"cut-{number}.nec": scene.nec[:cut]})
    assert read_state(station).products == expected.products
    shutil.rmtree(station.parent)


def test_a_lossy_channel_gives_products_with_what_is_missing_named(
    station: Path, models: Path, scene: TinyScene
) -> None:
    sent = Channel(loss=0.6, burst=3.0, reorder=4, duplicate=0.2, seed=3).send(scene.packets(payload=64))
    assert run_once(station, models, {"lossy.bin": b"".join(sent)}) == ExitCode.PARTIAL
    state, detail, _ = file_row(station)
    assert state == "partial"
    assert "ranges missing" in str(detail)


def test_the_same_partial_set_in_another_order_gives_the_same_partial_products(
    memory: Path, models: Path, scene: TinyScene
) -> None:
    sent = scene.packets(payload=64)[::2]
    found = []
    for seed in (1, 2):
        station = memory / f"partial-{seed}"
        run_once(station, models, {"half.bin": b"".join(random.Random(seed).sample(sent, len(sent)))})
        found.append(read_state(station).products)
    assert found[0] == found[1]


def test_every_prefix_of_a_nec_is_taken_and_ends_complete_partial_or_refused(
    memory: Path, models: Path, scene: TinyScene, expected: State
) -> None:
    complete = 0
    for cut in range(0, len(scene.nec) + 1, 31):
        station = memory / f"prefix-{cut}"
        code = run_once(station, models, {"cut.nec": scene.nec[:cut]})
        assert code in (ExitCode.OK, ExitCode.PARTIAL)
        ledger = read_state(station).ledger
        assert len(ledger["files"]) + len(ledger["refusals"]) == 1
        complete += code == ExitCode.OK and bool(ledger["files"])
    run_once(memory / "prefix-0", models, {"whole.nec": scene.nec})
    assert read_state(memory / "prefix-0").products == expected.products


def test_an_unsealed_file_with_all_records_is_complete_and_one_without_some_is_partial(
    memory: Path, models: Path, package: object
) -> None:
    unsealed = ground_scene.make_scene(package, seal=False)  # type: ignore[arg-type]
    assert run_once(memory / "unsealed", models, {"a.nec": unsealed.nec}) == ExitCode.OK
    assert run_once(memory / "cut", models, {"a.nec": unsealed.nec[:-140]}) == ExitCode.PARTIAL


def test_damaged_and_foreign_packets_are_counted_by_kind_and_source(
    station: Path, models: Path, scene: TinyScene
) -> None:
    packets = scene.packets()
    flipped = bytearray(packets[1])
    flipped[40] ^= 1
    drops = {"a.bin": b"".join([foreign_packet(), *packets, foreign_packet(), bytes(flipped)])}
    assert run_once(station, models, drops) == ExitCode.OK
    refusals = read_state(station).ledger["refusals"]
    assert [(row[0], row[2], row[3]) for row in refusals] == [
        ("bad-input", "a.bin", 2),
        ("corrupt", "a.bin", 1),
    ]


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff" * 3000, b"NL" * 400, bytes(range(256)) * 9])
@pytest.mark.parametrize("suffix", ["bin", "nec"])
def test_junk_is_refused_by_name_and_the_rest_goes_on(
    station: Path, models: Path, scene: TinyScene, expected: State, junk: bytes, suffix: str
) -> None:
    assert run_once(station, models, {f"junk.{suffix}": junk, "good.nec": scene.nec}) == ExitCode.OK
    state = read_state(station)
    assert state.products == expected.products
    assert {row[2] for row in state.ledger["refusals"]} == {f"junk.{suffix}"}


def test_bit_flips_in_a_dropped_file_never_give_other_values_only_fewer(
    memory: Path, models: Path, scene: TinyScene, expected: State
) -> None:
    """Flips in the .nec, then the clean file: the end is as if only the clean one had come."""
    chance = random.Random(6)
    station = memory / "flips"
    for number in range(12):
        damaged = bytearray(scene.nec)
        for _ in range(3):
            at = chance.randrange(len(damaged) * 8)
            damaged[at // 8] ^= 1 << at % 8
        run_once(station, models, {f"flip-{number}.nec": bytes(damaged)})
    run_once(station, models, {"clean.nec": scene.nec})
    assert read_state(station).products == expected.products


def test_a_file_without_its_package_waits_by_name_and_is_taken_up_when_it_appears(
    memory: Path, models: Path, scene: TinyScene, expected: State
) -> None:
    station, late = memory / "late", memory / "late-models"
    late.mkdir()
    assert run_once(station, late, {"a.nec": scene.nec}) == ExitCode.IDENTITY
    state, detail, _ = file_row(station)
    assert state == "waiting for package"
    assert str(detail).startswith(scene.package.codec_id.hex())
    assert read_state(station).products == {}
    shutil.copytree(models / "tiny", late / "tiny")
    assert run_once(station, late) == ExitCode.OK
    assert read_state(station).products == expected.products


def test_a_package_with_a_changed_file_is_not_used(memory: Path, models: Path, scene: TinyScene) -> None:
    broken = memory / "broken-models"
    shutil.copytree(models, broken)
    head = broken / "tiny" / "heads" / "cover.onnx"
    head.write_bytes(head.read_bytes() + b"\0")
    assert run_once(memory / "broken", broken, {"a.nec": scene.nec}) == ExitCode.IDENTITY
    assert "cover.onnx" in str(file_row(memory / "broken")[1])


def test_packets_without_a_header_copy_wait_for_it(station: Path, models: Path, scene: TinyScene) -> None:
    without = next(packet for packet in scene.packets() if scene.nec[:8] not in packet)
    assert run_once(station, models, {"a.bin": without}) == ExitCode.PARTIAL
    assert file_row(station)[0] == "waiting for header"


def test_the_ledger_is_made_again_from_the_spool(memory: Path, models: Path, scene: TinyScene) -> None:
    station = memory / "rebuilt"
    packets = scene.packets()
    run_once(
        station, models, {"a.bin": b"".join(packets[:9]), "b.bin": foreign_packet() + b"".join(packets[5:])}
    )
    before = read_state(station)
    (station / "ledger" / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(SwathpackError, match="--rebuild") as refused:
        run_once(station, models)
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert run_once(station, models, rebuild=True) == ExitCode.OK
    after = read_state(station)
    assert after.products == before.products
    assert after.ledger["pieces"] == before.ledger["pieces"]
    assert after.ledger["refusals"] == before.ledger["refusals"]
