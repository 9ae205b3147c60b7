"""HDF5 and Zarr files, opened through libraries that the base install does not have."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codec.errors import BackendUnavailable, InputError


def _missing(package: str, extra: str, path: Path) -> BackendUnavailable:
    return BackendUnavailable(
        f"the package {package} is not installed", path=path, fix=f"pip install 'swathpack[{extra}]'"
    )


def open_hdf5(path: Path) -> Any:
    """An `h5py.File` for reading, to be closed by the caller. Raises BackendUnavailable without h5py."""
    try:
        import h5py
    except ImportError as error:
        raise _missing("h5py", "train", path) from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            "not a readable HDF5 file", path=path, found=str(error)[:120], fix="download the file again"
        ) from error


@contextmanager
def open_zarr(path: Path) -> Iterator[Any]:
    """A `zarr.Group` for reading, of a folder or of a zip. Raises BackendUnavailable without zarr (or below Python 3.11)."""
    try:
        import zarr
        from zarr.storage import LocalStore, ZipStore
    except ImportError as error:
        raise _missing("zarr", "arrays", path) from error
    if not Path(path).exists():
        raise InputError("there is no such file", path=path, fix="download the data set again")
    if Path(path).is_file() and not zipfile.is_zipfile(path):
        raise InputError(
            "not a readable Zarr group", path=path, found="no zip file", fix="download the file again"
        )
    store = None
    try:
        # Opened by hand: what a path means to zarr depends on its ending.
        store = ZipStore(path, mode="r") if Path(path).is_file() else LocalStore(path, read_only=True)
        group = zarr.open_group(store, mode="r")
    except Exception as error:  # zipfile, zarr and its codecs raise errors of their own kinds
        if store is not None:
            store.close()
        raise InputError(
            "not a readable Zarr group", path=path, found=str(error)[:120], fix="download the file again"
        ) from error
    try:
        yield group
    finally:
        store.close()


def read_json(path: Path) -> Any:
    """The file's JSON. Raises InputError where it is missing or none."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            "not a readable JSON file", path=path, found=str(error)[:120], fix="download the file again"
        ) from error
