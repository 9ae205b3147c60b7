"""What a foreign checkpoint holds: names, shapes, where they come from, and which of them an encoder needs.

The files beside this package (`codec/models/layouts/*.json`) are transcriptions of published model definitions at a
named commit. No weights were at hand when they were written, except Galileo nano's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from codec.errors import InputError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout. Prefix tables are tried in their order; the first prefix that fits decides."""

    name: str
    family: str  # which class runs it
    paper: str
    repository: str
    file: str  # the model definition in that repository
    commit: str
    keys: Mapping[str, tuple[int, ...]]  # name in the file → shape, without wrapper and prefix
    wrappers: tuple[str | None, ...]  # entry of the file that holds the tensors; None: the file itself
    prefixes: tuple[str, ...]  # what stands before every key; the first one that occurs is taken away
    drop: tuple[str, ...]  # prefixes of tensors that may be there, are not listed in `keys` and are not read
    buffers: tuple[str, ...]  # ends of names of such tensors that are computed here, and must be the same
    infix: str  # taken out of the middle of a key, where some files have it
    alias: Mapping[str, str]  # prefix in files of other library versions → prefix in `keys`
    rename: Mapping[str, str]  # prefix in `keys` → prefix in our module
    skip: Mapping[str, str]  # prefix in `keys` that the encoder does not need → why
    decoder: Mapping[str, str]  # prefix in `keys` → prefix in our module; needed only with `decoder=True`
    decoder_heads: int
    any_shape: frozenset[str]  # keys whose shape depends on the state they were saved in
    heads: int  # Swin: of the first stage
    eps: float  # of every LayerNorm
    resize: str  # how a position table is resized: "size" (MAE) or "scale" (DINO)
    bands: tuple[str, ...]  # canonical names, in the order of the input
    groups: tuple[tuple[int, ...], ...]  # indices into `bands`, one patch embedding each
    input: Mapping[str, Any]  # unit, mean and std per band of the published normalisation, if known
    notes: tuple[str, ...]

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of the tensor that becomes `key` of our module."""
        for foreign, shape in self.keys.items():
            if self.own(foreign, decoder=True) == key:
                return shape
        raise InputError(f"layout {self.name} holds no tensor for {key}")

    def own(self, key: str, *, decoder: bool = False) -> str | None:
        """Name in our module of the file's tensor `key`; None if it is skipped by name."""
        for prefix, to in self.decoder.items():
            if key.startswith(prefix):
                return to + key.removeprefix(prefix) if decoder else None
        if any(key.startswith(prefix) for prefix in self.skip):
            return None
        for prefix, to in self.rename.items():
            if key.startswith(prefix):
                return to + key.removeprefix(prefix)
        return key

    def why_skipped(self, key: str) -> str:
        """Reason for a key that `own` answers with None."""
        reasons = [why for prefix, why in self.skip.items() if key.startswith(prefix)]
        return reasons[0] if reasons else "MAE decoder"

    def repeats(self, prefix: str) -> int:
        """Number of modules `prefix`0., `prefix`1., … of our module."""
        own = [self.own(key, decoder=True) or "" for key in self.keys]
        return len({name.removeprefix(prefix).split(".")[0] for name in own if name.startswith(prefix)})


def layout_names() -> tuple[str, ...]:
    """Names of all layouts, sorted."""
    folder = resources.files("codec.models") / "layouts"
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


def read_layout(name: str) -> Layout:
    """A layout by name; InputError lists the names if there is none."""
    if name not in layout_names():
        raise InputError(f"there is no layout {name!r}", expected=", ".join(layout_names()), found=name)
    text = (resources.files("codec.models") / "layouts" / f"{name}.json").read_text(encoding="utf-8")
    return parse_layout(json.loads(text))


def parse_layout(data: Mapping[str, Any]) -> Layout:
    """A layout from its JSON object; `{a..b}` in a key stands for one key per number from a to b."""
    decoder = data.get("decoder", {})
    return Layout(
        name=data["name"],
        family=data["family"],
        paper=data["paper"],
        repository=data["repository"],
        file=data["file"],
        commit=data["commit"],
        keys={key: tuple(shape) for short, shape in data["keys"].items() for key in _expand(short)},
        wrappers=tuple(data["wrappers"]),
        prefixes=tuple(data["prefixes"]),
        drop=tuple(data.get("drop", ())),
        buffers=tuple(data.get("buffers", ())),
        infix=data.get("infix", ""),
        alias=data.get("alias", {}),
        rename=data.get("rename", {}),
        skip=data.get("skip", {}),
        decoder=decoder.get("rename", {}),
        decoder_heads=decoder.get("heads", 0),
        any_shape=frozenset(data.get("any_shape", ())),
        heads=data["heads"],
        eps=data["eps"],
        resize=data.get("resize", "size"),
        bands=tuple(data["bands"]),
        groups=tuple(tuple(group) for group in data.get("groups", ())),
        input=data.get("input", {}),
        notes=tuple(data.get("notes", ())),
    )


def _expand(key: str) -> list[str]:
    found = _RANGE.search(key)
    if found is None:
        return [key]
    first, last = int(found[1]), int(found[2])
    return [key[: found.start()] + str(i) + key[found.end() :] for i in range(first, last + 1)]
