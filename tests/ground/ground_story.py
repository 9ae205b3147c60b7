"""What happens to a station in the crash tests: two scenes that arrive in two passes, with copies, damage and strangers.

`State` is everything that must be the same however often the station was killed: products byte for byte, and the ledger
without times and places.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ground_scene
from ground_fork import ForkServer, Job
from ground_spacecraft import foreign_packet

from codec.package import Package


@dataclass(frozen=True)
class State:
    """See above."""

    products: dict[str, bytes | str]  # path → content, or target of a link
    ledger: dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True)
class Story:
    """The files that are dropped in pass 1 and pass 2, each in a folder."""

    first: Path
    second: Path
    models: Path

    @property
    def names(self) -> list[str]:
        return sorted(path.name for part in (self.first, self.second) for path in part.iterdir())

    def content(self, name: str) -> bytes:
        path = self.first / name
        return (path if path.exists() else self.second / name).read_bytes()


def make_story(folder: Path, models: Path, package: Package) -> Story:
    """Pass 1: part of scene A's packets, out of order, one damaged, one foreign. Pass 2: the rest, copies, scene B."""
    a = ground_scene.make_scene(package, seed=7)
    b = ground_scene.make_scene(package, seed=8, rows=1, cols=2, run=1)
    packets = a.packets(payload=100)
    random.Random(5).shuffle(packets)
    half = len(packets) // 3
    damaged = bytearray(packets[0])
    damaged[len(damaged) // 2] ^= 0x10
    story = Story(folder / "first", folder / "second", models)
    story.first.mkdir(parents=True)
    story.second.mkdir()
    first = b"".join([*packets[:half], foreign_packet(), bytes(damaged)])
    (story.first / "pass-1.bin").write_bytes(first)
    (story.second / "pass-2.pkt").write_bytes(b"".join(packets[half - 2 :]))
    (story.second / "b.nec").write_bytes(b.nec)
    return story


def read_state(station: Path) -> State:
    products: dict[str, bytes | str] = {}
    root = station / "products"
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            products[str(path.relative_to(root))] = str(path.readlink())
        elif path.is_file():
            products[str(path.relative_to(root))] = path.read_bytes()
    with open_ledger(station) as db:
        ledger = {
            "pieces": db.execute("SELECT file_id, kind, digest, copies FROM pieces ORDER BY 1, 2, 3").fetchall(),
            "files": db.execute("SELECT file_id, generation, refined, state, detail, link FROM files ORDER BY 1").fetchall(),
            "refusals": db.execute("SELECT kind, what, source, times FROM refusals ORDER BY 1, 2, 3").fetchall(),
            "versions": db.execute("SELECT file_id, inputs, number, complete FROM versions ORDER BY 1, 3").fetchall(),
            "products": db.execute("SELECT * FROM products ORDER BY 1, 2, 3").fetchall(),
        }  # fmt: skip
    return State(products, ledger)


@contextmanager
def open_ledger(station: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the ledger, read by itself: looking must not change what is looked at."""
    with tempfile.TemporaryDirectory(prefix="look-") as folder:
        for suffix in ("", "-wal"):
            source = station / "ledger" / f"ledger.sqlite{suffix}"
            if source.exists():
                shutil.copyfile(source, Path(folder) / source.name)
        db = sqlite3.connect(Path(folder) / "ledger.sqlite")
        try:
            yield db
        finally:
            db.close()


def broken_promises(
    station: Path, story: Story, acks: list[str], known: dict[str, dict[str, str]]
) -> list[str]:
    """Which of the station's promises do not hold on a disk, before anything was restarted on it.

    `acks`: what the station had told its observer by then. `known`: version → name → SHA-256 of each right product.
    """
    segments = [path.read_bytes() for path in sorted((station / "spool").glob("*.seg"))]
    spooled = [line.split()[1] for line in acks if line.startswith("spooled")]
    lost = [name for name in spooled if not any(story.content(name) in segment for segment in segments)]
    broken = [f"{name} was acknowledged and is not in the spool" for name in lost]
    products = station / "products"
    for link in [home / "current" for home in sorted(products.glob("*")) if (home / "current").is_symlink()]:
        version = link.readlink().name
        found = (
            {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in link.iterdir()}
            if link.is_dir()
            else {}
        )
        if found != known.get(version):
            broken.append(f"what {link.parent.name}/current shows to is not whole")
    told = [line.split()[1:4] for line in acks if line.startswith("published")]
    newest = {file_id: number for file_id, _, number in told}
    with open_ledger(station) as db:
        versions: dict[tuple[str, str], int] = {}
        pieces: list[tuple[str, int, int, int]] = []
        try:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            if "versions" in tables:
                versions = {
                    (f, i): n for f, i, n in db.execute("SELECT file_id, inputs, number FROM versions")
                }
                pieces = db.execute("SELECT digest, segment, position, length FROM pieces").fetchall()
        except sqlite3.DatabaseError as error:
            broken.append(f"the ledger cannot be read: {error}")
    for file_id, inputs, number in told:
        if versions.get((file_id, inputs)) != int(number):
            broken.append(f"version {number} of {file_id} was told and is not in the ledger")
    for file_id, number in newest.items():
        link = products / file_id / "current"
        # A version that the ledger does not know yet is newer than all that were told; whether it is whole was seen above.
        shown = versions.get((file_id, link.readlink().name), int(number)) if link.is_symlink() else 0
        if shown < int(number):
            broken.append(f"version {number} of {file_id} was told and is not to be seen")
    for digest, segment, position, length in pieces:
        path = station / "spool" / f"{segment:08d}.seg"
        data = path.read_bytes()[position : position + length] if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != digest:
            broken.append(
                f"the ledger names bytes that the spool does not hold (segment {segment}, {position})"
            )
    return broken


def versions_of(state: State) -> dict[str, dict[str, str]]:
    """Version → name → SHA-256 of the products that it has on disk."""
    found: dict[str, dict[str, str]] = {}
    for path, content in state.products.items():
        if isinstance(content, bytes):
            _, version, name = path.split("/")
            found.setdefault(version, {})[name] = hashlib.sha256(content).hexdigest()
    return found


def both_passes(
    server: ForkServer, story: Story, station: Path, look: Callable[[], None] = lambda: None
) -> None:
    """An undisturbed station; `look` is called between the passes."""
    (station / "inbox").mkdir(parents=True)
    for part in (story.first, story.second):
        run = server.run(Job(str(station), str(story.models), drop=str(part)))
        assert run.code in (0, 6), run
        look()
