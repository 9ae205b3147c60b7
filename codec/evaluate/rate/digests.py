"""SHA-256 of arrays and of sources: what caches and stored answers are known by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import InternalError


def update(digest: Any, array: npt.NDArray[Any]) -> None:
    """Take type, shape and contents of an array into a digest."""
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)


def of_code(modules: Sequence[str], *versions: str) -> str:
    """SHA-256 of the sources of modules, of a package all its files, and of versions of libraries. Hexadecimal."""
    digest = hashlib.sha256("\n".join(versions).encode())
    for name in modules:
        module = import_module(name)
        if module.__file__ is None:
            raise InternalError(f"module {name} has no source file")
        file = Path(module.__file__)
        for path in sorted(file.parent.glob("*.py")) if hasattr(module, "__path__") else [file]:
            digest.update(path.read_bytes())
    return digest.hexdigest()
