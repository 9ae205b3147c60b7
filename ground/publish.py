"""Product sets that change in one step.

    products/<file_id>/<inputs>/…      one version, named after what it was made from
    products/<file_id>/current -> <inputs>

A version is written beside, synced, named, synced; then `current` is swapped by one rename. A reader who goes through
`current` sees the old set or the new one, whole. Only then is the ledger told, and the version before is removed.
Each step can be repeated: a process that died anywhere in between is followed by one that begins at the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from codec.errors import SwathpackError
from codec.types import Product
from ground.files import Files, Sync

CURRENT = "current"
_PART = ".part"


def publish(
    products_folder: Path, file_id: str, inputs: str, products: Sequence[Product], files: Files
) -> None:
    """Make version `inputs` of a file the current one; durable when this returns.

    Raises LimitExceeded or InputError; the version that was current before then still is, and no part is left.
    """
    home = products_folder / file_id
    version = home / inputs
    part = home / _PART
    files.make_folder(home)
    files.sync_folder(products_folder, Sync.PRODUCT_HOME)
    if not _holds(version, products):
        try:
            _write(part, products, files)
        except SwathpackError:
            files.remove(part)
            raise
        files.remove(version)  # only if its bytes are not ours: damaged or changed from outside
        files.rename(part, version)  # whole and durable: a later process that finds it need not sync it again
    files.sync_folder(home, Sync.PRODUCT_VERSION)
    if current(home) != inputs:
        files.link(home / CURRENT, inputs)
    files.sync_folder(home, Sync.PRODUCT_CURRENT)


def sweep(products_folder: Path, file_id: str, files: Files) -> None:
    """Remove what is not current: the version before, and parts that a dead process left."""
    home = products_folder / file_id
    keep = current(home)
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.name not in (keep, CURRENT):
            files.remove(path)


def current(home: Path) -> str | None:
    """The version that `current` shows to; None when there is none."""
    link = home / CURRENT
    return link.readlink().name if link.is_symlink() else None


def _write(part: Path, products: Sequence[Product], files: Files) -> None:
    files.remove(part)
    files.make_folder(part)
    for product in products:
        files.write_file(part / product.name, product.data, Sync.PRODUCT_DATA)
    files.sync_folder(part, Sync.PRODUCT_NAMES)


def _holds(version: Path, products: Sequence[Product]) -> bool:
    if not version.is_dir() or sorted(p.name for p in version.iterdir()) != sorted(p.name for p in products):
        return False
    return all((version / product.name).read_bytes() == product.data for product in products)


def hashes(products: Sequence[Product]) -> list[tuple[str, str, int]]:
    """Name, SHA-256 and bytes of each product, as the ledger has them."""
    return [(p.name, hashlib.sha256(p.data).hexdigest(), len(p.data)) for p in products]
