"""Reading the tensors of a foreign file, without running anything that is in it."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from codec.errors import Corrupt, InputError
from codec.models.foreign.layout import Layout


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors of a file by the name the layout gives them."""

    path: Path
    wrapper: str | None
    prefix: str
    beside: tuple[str, ...]  # entries beside the wrapper
    tensors: Mapping[str, Tensor]
    dropped: Mapping[str, Tensor]  # by their full name: the layout lets them be there and does not list them
    strays: Mapping[str, Tensor]  # by their full name: without the prefix that the others have
    written: Mapping[str, str]  # layout's name → name in the file, for reports


def read_checkpoint(layout: Layout, path: Path) -> Checkpoint:
    """Open a `.safetensors` file, or any file of torch by `weights_only=True`, and take off wrapper and prefix.

    Nothing is checked against the layout here but what holds the tensors. Raises InputError (unreadable, holds Python
    objects, has no such entry) and Corrupt (not such a file, or cut).
    """
    path = Path(path)
    content = _open(path)
    wrapper = next(
        (w for w in layout.wrappers if w is not None and isinstance(content.get(w), Mapping)), None
    )
    state: Mapping[str, Any] = content if wrapper is None else content[wrapper]
    if wrapper is None and (None not in layout.wrappers or not _is_flat(content)):
        names = " or ".join(f"an entry {w!r}" if w else "tensors only" for w in layout.wrappers)
        raise InputError(
            "the file does not hold its tensors where the layout says",
            path=path,
            expected=names,
            found=", ".join(list(map(str, content))[:8]) or "nothing",
        )
    alien = [key for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if alien:
        raise InputError(f"entry {alien[0]!r} is not a tensor", path=path, fix="save a plain state dict")
    dropped = {
        key: value
        for key, value in state.items()
        if key.startswith(layout.drop) or key.endswith(layout.buffers)
    }
    rest = {key: value for key, value in state.items() if key not in dropped}
    prefix = next((p for p in layout.prefixes if any(key.startswith(p) for key in rest)), None)
    if prefix is None:
        names = " or ".join(layout.prefixes)
        raise InputError(
            "no tensor has the prefix of the layout",
            path=path,
            expected=names,
            found=next(iter(rest), "none"),
        )
    written: dict[str, str] = {}
    for key in rest:
        if not key.startswith(prefix):
            continue
        name = _listed(layout, key.removeprefix(prefix))
        if name in written:
            raise InputError(f"{key} and {written[name]} are the same tensor by the layout", path=path)
        written[name] = key
    return Checkpoint(
        path=path,
        wrapper=wrapper,
        prefix=prefix,
        beside=tuple(str(key) for key in content if key != wrapper) if wrapper else (),
        tensors={name: rest[key] for name, key in written.items()},
        dropped=dropped,
        strays={key: value for key, value in rest.items() if not key.startswith(prefix)},
        written=written,
    )


def _listed(layout: Layout, name: str) -> str:
    """The layout's spelling of a key whose prefix is off."""
    if layout.infix:
        name = name.replace(layout.infix, "")
    for alias, to in layout.alias.items():
        if name.startswith(alias):
            return to + name.removeprefix(alias)
    return name


def _open(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Training scripts put their argparse.Namespace beside the weights; it is a bag of attributes that runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "global" in str(error):
            raise InputError(
                "the file holds Python objects besides tensors, which are never loaded",
                path=path,
                fix="on a machine that may run it, save its state dict alone: torch.save(model.state_dict(), path)",
            ) from error
        raise Corrupt("not a file of torch", path=path) from error
    except (
        SafetensorError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:
        raise Corrupt(
            f"not a file of tensors, or a cut one: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            path=path,
            fix="fetch it again",
        ) from error
    if not isinstance(content, Mapping):
        raise InputError("the file holds no named tensors", path=path, found=type(content).__name__)
    return content


def _is_flat(content: Mapping[str, Any]) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())
