"""Model packages: folders that hold what a decoder needs beyond the file, with names, hashes and ids (bitstream §9)."""

from codec.package.manifest import Manifest, PlaneEntry, TileLayout
from codec.package.store import Package, Verifier, build, default_roots, find, load, refresh

__all__ = [
    "Manifest",
    "Package",
    "PlaneEntry",
    "TileLayout",
    "Verifier",
    "build",
    "default_roots",
    "find",
    "load",
    "refresh",
]
