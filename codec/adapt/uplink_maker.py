"""The files of a pack, made from what the receiver has and what was sent (docs/uplink.md §5)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from codec.adapt.uplink_body import Body, Data, NewFile, Part, Small
from codec.adapt.uplink_delta import Copy
from codec.adapt.uplink_streams import expand
from codec.adapt.uplink_views import MAX_FILE, views
from codec.errors import Corrupt, IdentityError, LimitExceeded
from codec.package import Package, arrays
from codec.package.files import MANIFEST, read_checked
from codec.package.manifest import TRANSFORM, parse

AGAIN = "drop the pack and send it again"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def base_bytes(base: Package, name: str) -> bytes:
    if name == MANIFEST:
        data = (base.folder / MANIFEST).read_bytes()
        if parse(data, base.folder / MANIFEST).raw != base.manifest.raw:
            raise IdentityError("the base package was changed meanwhile", path=base.folder, fix="repeat")
        return data
    return read_checked(base.folder, name, base.manifest.files[name], MAX_FILE)


class Maker:
    """Makes the files of a pack, in its order, in memory: their size was bounded when the pack was parsed."""

    def __init__(self, pack: Body, base: Package) -> None:
        self.pack, self.base = pack, base
        self.made: dict[str, bytes] = {}
        self.small = memoryview(expand(pack.small))
        self._base: dict[str, bytes] = {}
        self._views: dict[str, bytes] | None = None

    def files(self) -> dict[str, bytes]:
        """By path. Raises Corrupt naming the file that does not come out as its hash says."""
        for file in self.pack.files:
            data = b"".join(self.part(part, file) for part in file.parts)
            if len(data) != file.size or sha256(data) != file.sha256:
                raise Corrupt(
                    f"{file.path} does not come out as the pack says",
                    expected=file.sha256[:16],
                    found=sha256(data)[:16],
                    fix=AGAIN,
                )
            self.made[file.path] = data
        return self.made

    def part(self, part: Part, file: NewFile) -> bytes | memoryview:
        if isinstance(part, Data):
            return expand(part.stream)
        if isinstance(part, Small):
            taken, self.small = self.small[: part.length], self.small[part.length :]
            return taken
        source = self.source(part, file)
        if part.offset + part.length > len(source):
            raise Corrupt(
                f"a part of {file.path} lies outside {part.kind} {part.name}",
                expected=f"at most {len(source)}",
                found=part.offset + part.length,
                fix=AGAIN,
            )
        return memoryview(source)[part.offset : part.offset + part.length]

    def source(self, part: Copy, file: NewFile) -> bytes:
        if part.kind == "base" and (part.name == MANIFEST or part.name in self.base.manifest.files):
            if part.name not in self._base:
                self._base[part.name] = base_bytes(self.base, part.name)
            return self._base[part.name]
        if part.kind == "made" and part.name in self.made:
            return self.made[part.name]
        if part.kind == "view" and part.name in (found := self.views()):
            return found[part.name]
        raise Corrupt(f"a part of {file.path} is of an unknown source, {part.kind} {part.name!r}", fix=AGAIN)

    def views(self) -> dict[str, bytes]:
        """Of the transform as it will be."""
        if self._views is None:
            transforms = dict(self.base.transforms)
            if TRANSFORM in self.made:
                if MANIFEST not in self.made:
                    raise Corrupt(
                        "the pack uses a transform before the manifest that describes it", fix=AGAIN
                    )
                manifest = parse(self.made[MANIFEST], Path(MANIFEST))
                limit = arrays.size_limit(manifest.planes, manifest.refining)
                if len(self.made[TRANSFORM]) > limit:
                    raise LimitExceeded("the new transform is too large", expected=f"at most {limit}")
                transforms, _ = arrays.decode(
                    self.made[TRANSFORM], manifest.planes, TRANSFORM, manifest.refining
                )
            self._views = views(transforms)
        return self._views
