"""One scene on its way: encode, packetise, lose packets, receive, decode, publish. Every demo scene takes this path."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.types import FloatArray

if TYPE_CHECKING:
    from codec.link import Assembled
    from codec.package import Package
    from codec.pipeline import Decoded
    from codec.scene.scene import Scene
    from codec.types import Latent
    from onboard.encode import Encoded
    from onboard.engine import Engine

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The link of the demo."""

    loss: float
    burst: float
    seed: int
    payload: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was sent, what arrived, what the ground made of it."""

    encoded: Encoded
    n_packets: int
    n_arrived: int
    link_bytes: int
    n_records: int  # coefficient records in the file
    assembled: Assembled | None  # None: not one packet arrived
    decoded: Decoded | None  # the same decoding as the station's, for scoring; None: no header arrived
    products: Path | None  # folder of the station's current product set
    seconds: dict[str, float]

    @property
    def n_lost(self) -> int:
        return self.n_packets - self.n_arrived

    @property
    def embeddings(self) -> dict[str, FloatArray]:
        """What was decoded, N×h×w×C by plane name; nothing when no header arrived."""
        return {} if self.decoded is None else {n: e.values for n, e in self.decoded.embeddings.items()}

    @property
    def records(self) -> tuple[int, int, int]:
        """Coefficient records intact, repaired, lost."""
        if self.assembled is None or self.decoded is None:
            return 0, 0, self.n_records
        repaired = min(self.assembled.repaired, self.decoded.intact)
        return self.decoded.intact - repaired, repaired, self.n_records - self.decoded.intact


def send(
    scene: Scene, package: Package, engine: Engine, link: LinkSettings, name: str, out: Path, say: Say
) -> Transfer:
    """Run the whole way for `scene`; files go to `out`: <name>.nec, <name>.pkt, station-<name>/."""
    from codec.bitstream.reader import read_bytes
    from codec.link import Channel, assemble, packetise
    from codec.pipeline import decode
    from onboard.encode import encode_scene

    seconds: dict[str, float] = {}
    encoded = encode_scene(scene, package, engine, source_name=name, target_bytes=link.payload)
    seconds.update(encoded.report.seconds)
    write_atomic(out / f"{name}.nec", encoded.data)
    say(f"  on board: {encoded.report.tiles} tiles → {len(encoded.data)} bytes")
    start = time.perf_counter()
    packets = [p.data for p in packetise(encoded.data, payload=link.payload)]
    arrived = Channel(loss=link.loss, burst=link.burst, seed=link.seed).send(packets)
    seconds["link"] = time.perf_counter() - start
    say(f"  link: {len(packets)} packets sent, {len(packets) - len(arrived)} lost")
    start = time.perf_counter()
    products = receive(arrived, package, name, out)
    seconds["ground"] = time.perf_counter() - start
    say(f"  ground station: {'no products, nothing arrived' if products is None else products}")
    nec = read_bytes(encoded.data)
    assembled = assemble(arrived).get(nec.header.file_id)
    decoded = None
    if assembled is not None and assembled.header is not None:
        decoded = decode(package, nec.header, assembled.records)
    return Transfer(
        encoded,
        len(packets),
        len(arrived),
        sum(map(len, packets)),
        len(nec.records),
        assembled,
        decoded,
        products,
        seconds,
    )


def receive(arrived: list[bytes], package: Package, name: str, out: Path) -> Path | None:
    """Drop the packets into a fresh station's inbox, let the daemon work once, return its product folder."""
    from ground.config import GroundConfig
    from ground.daemon import serve

    station = out / f"station-{name}"
    shutil.rmtree(station, ignore_errors=True)
    (station / "inbox").mkdir(parents=True)
    write_atomic(out / f"{name}.pkt", b"".join(arrived))
    if arrived:
        write_atomic(station / "inbox" / f"{name}.pkt", b"".join(arrived))
    serve(GroundConfig(station=station, models=(package.folder,), once=True))
    current = sorted((station / "products").glob("*/current"))
    if len(current) > 1:
        raise InputError(
            "the station made products of more than one file from this scene's packets", path=station
        )
    return current[0] if current else None


def uncompressed(package: Package, latents: tuple[Latent, ...]) -> dict[str, FloatArray]:
    """Embeddings as the encoder gave them, N×h×w×C by plane name."""
    names = [package.planes[latent.plane].name for latent in latents]
    return {
        name: package.transforms[name].synthesise(latent.values)
        for name, latent in zip(names, latents, strict=True)
    }
