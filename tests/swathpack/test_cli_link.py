"""`link send`, `link receive` and UDP: foreign, mutated and future packets, several files, ports."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.core import crc32c
from codec.link import parse_packet, split_stream
from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS, pixels, write_scene


@pytest.fixture
def packets(cli: Cli, scene_nec: Path) -> list[bytes]:
    data = cli("link", "send", scene_nec, "-o", "-", "--payload", "256").out
    return [piece for _, piece in split_stream(data)]


def test_garbage_is_no_packet(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out.nec"
    for data in (b"", b"\0" * 50, b"garbage " * 100, np.random.default_rng(1).bytes(5000)):
        ran = cli("link", "receive", "-", "-o", out, stdin=data)
        assert ran.code in (3, 4), ran.err
        ran.refused(ran.code, "no ", "packet of ours")
        cli("link-sim", "-", stdin=data).refused(3, "neither a .nec nor intact packets")
    assert not out.exists()


def test_empty_input_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    cli("link", "receive", "-", "-o", tmp_path / "out.nec", stdin=b"").refused(3, "no packet of ours")


def test_a_nec_file_is_no_stream_of_packets(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    ran = cli("link", "receive", scene_nec, "-o", tmp_path / "out.nec")
    assert ran.code in (3, 4)
    ran.refused(ran.code, "scene.nec", "packet of ours")


def test_foreign_packets_are_passed_over_and_counted(
    cli: Cli, tmp_path: Path, scene_nec: Path, packets: list[bytes]
) -> None:
    # CCSDS 133.0-B-2: version 0, telemetry, no secondary header, APID 5, unsegmented, one octet less than the data.
    foreign = bytes([0x00, 0x05, 0xC0, 0x00, 0x00, 0x09]) + b"not  ours!"
    out = tmp_path / "out.nec"
    ran = cli("link", "receive", "-", "-o", out, stdin=foreign + b"".join(packets) + foreign)
    assert ran.code == 0, ran.err
    assert "2 pieces passed over (2 foreign)" in ran.err
    assert out.read_bytes() == scene_nec.read_bytes()
    cli("link", "receive", "-", "-o", tmp_path / "b.nec", stdin=foreign).refused(3, "no packet of ours")
    sim = cli("link-sim", "-", "--loss", "0", stdin=foreign + b"".join(packets))
    assert sim.code == 0
    assert sim.err == "note: 1 pieces of - are no intact packets of ours and are left out\n"
    assert f"packets sent                 {len(packets)}\n" in sim.text


def test_mutated_packets_are_passed_over_and_repaired(
    cli: Cli, tmp_path: Path, scene_nec: Path, packets: list[bytes]
) -> None:
    mutated = bytearray(packets[0])
    mutated[60] ^= 0x40
    out = tmp_path / "out.nec"
    ran = cli("link", "receive", "-", "-o", out, stdin=bytes(mutated) + b"".join(packets[1:]))
    assert ran.code == 0, ran.err
    assert "1 corrupt" in ran.err
    assert out.read_bytes() == scene_nec.read_bytes()


def test_mutated_packets_alone_are_an_integrity_error(cli: Cli, tmp_path: Path, packets: list[bytes]) -> None:
    data = bytearray(packets[0])
    data[-1] ^= 1
    cli("link", "receive", "-", "-o", tmp_path / "out.nec", stdin=bytes(data)).refused(4, "checksum")
    assert not (tmp_path / "out.nec").exists()


def test_packets_of_a_future_version_are_named(cli: Cli, tmp_path: Path, packets: list[bytes]) -> None:
    data = bytearray(packets[0])
    data[8] = 7  # docs/link.md §1: behind primary header and magic
    data[-4:] = crc32c(bytes(data[:-4])).to_bytes(4, "little")
    cli("link", "receive", "-", "-o", tmp_path / "out.nec", stdin=bytes(data)).refused(
        3, "version 7", "newer"
    )


def test_without_any_copy_of_the_header_it_is_to_be_tried_again(
    cli: Cli, tmp_path: Path, packets: list[bytes]
) -> None:
    """A packet that holds the middle of a block only: bytes of records, and no header beside them."""
    alone = [p for p in packets if 0 < parse_packet(p).index < parse_packet(p).k]
    assert alone, "this scene's blocks are one symbol long; use a smaller payload"
    ran = cli("link", "receive", "-", "-o", tmp_path / "out.nec", stdin=alone[0])
    ran.refused(75, "no copy of the header", parse_packet(alone[0]).file_id.hex())
    assert not (tmp_path / "out.nec").exists()


def test_of_two_files_the_one_with_most_packets_is_written_and_the_other_said(
    cli: Cli, tmp_path: Path, scene_nec: Path, packets: list[bytes]
) -> None:
    other = write_scene(tmp_path / "other.tif", pixels(64, 64))
    cli("encode", other, "-o", tmp_path / "other.nec", *ARGUMENTS)
    more = cli("link", "send", tmp_path / "other.nec", "-o", "-").out
    out = tmp_path / "out.nec"
    ran = cli("link", "receive", "-", "-o", out, stdin=more + b"".join(packets))
    assert ran.code == 0
    assert "1 other files among the packets left out" in ran.err
    assert out.read_bytes() == scene_nec.read_bytes()


def test_an_unknown_host_is_bad_input(cli: Cli, scene_nec: Path) -> None:
    cli("link", "send", scene_nec, "--udp", "no.such.host.invalid:5005").refused(3, "no.such.host.invalid")


def test_a_port_that_is_taken_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        ran = cli("link", "receive", f"udp:{port}", "-o", tmp_path / "out.nec")
    ran.refused(3, str(port), "cannot be used")


@contextmanager
def listening(root: Path, out: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`link receive udp:0` in its own process, and the port it chose."""
    process = subprocess.Popen(
        [sys.executable, "-m", "swathpack", "link", "receive", "udp:0", "-o", str(out), *options],
        cwd=root, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()


def test_udp_on_loopback_gives_the_file_back(cli: Cli, root: Path, tmp_path: Path, scene_nec: Path) -> None:
    out = tmp_path / "out.nec"
    with listening(root, out, "--idle", "2") as (process, port):
        send = cli(
            "link", "send", scene_nec, "--udp", f"127.0.0.1:{port}", "--payload", "256", "--rate", "4e6"
        )
        assert send.code == 0, send.err
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert out.read_bytes() == scene_nec.read_bytes()


def test_ctrl_c_ends_the_reception_and_keeps_what_came(
    cli: Cli, root: Path, tmp_path: Path, scene_nec: Path
) -> None:
    out = tmp_path / "out.nec"
    with listening(root, out, "--idle", "600") as (process, port):
        assert cli("link", "send", scene_nec, "--udp", f"127.0.0.1:{port}").code == 0
        # Sent datagrams lie in the receiver's queue; it takes them in order before it looks at anything else.
        _until_read(port)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert said.startswith("reception ended by hand\n")
    assert out.read_bytes() == scene_nec.read_bytes()


def _until_read(port: int) -> None:
    """Until the kernel's queue of this UDP port is empty (procfs: rx_queue, hexadecimal bytes)."""
    import time

    want = f"0100007F:{port:04X}"
    while True:
        lines = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
        queues = [fields[4].split(":")[1] for fields in lines if fields[1] == want]
        if not queues or all(int(queue, 16) == 0 for queue in queues):
            return
        time.sleep(0.01)


def test_nothing_on_udp_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    ran = cli("link", "receive", "udp:127.0.0.1:0", "-o", tmp_path / "out.nec", "--idle", "0.05")
    assert ran.code == 3
    assert re.fullmatch(
        r"listening on 127\.0\.0\.1:\d+\nerror: udp:127\.0\.0\.1:0: no packet of ours among the input; check the source\n",
        ran.err,
    )


@pytest.mark.parametrize("fec", ["rs", "none"])
def test_packets_are_as_the_library_of_the_standard_reads_them(cli: Cli, scene_nec: Path, fec: str) -> None:
    spacepackets = pytest.importorskip("spacepackets.ccsds.spacepacket")
    data = cli("link", "send", scene_nec, "-o", "-", "--apid", "291", "--fec", fec).out
    position = count = 0
    while position < len(data):
        header = spacepackets.SpacePacketHeader.unpack(data[position:])
        assert (header.apid, header.seq_count) == (291, count)
        position += header.packet_len
        count += 1
    assert position == len(data)
