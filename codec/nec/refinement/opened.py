"""A `.nec` file as arrays, refined by its package's `decoder.onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from codec.bitstream import reader
from codec.errors import BackendUnavailable, IdentityError
from codec.nec.refinement.session import DECODER, refinement_of
from codec.package import Package
from codec.pipeline import NecScene
from codec.pipeline.decoding import decode
from codec.pipeline.nec_scene import package_for

REFINED = "refined"  # what `Decoded.refinement` says where nothing was in the way


def open_refined(
    path: str | Path | BinaryIO, packages: Package | str | Path | Sequence[str | Path] | None = None
) -> NecScene:
    """As `codec.pipeline.open_nec`, with the first plane's valid tokens refined.

    Raises besides IdentityError where the package has no refinement, BackendUnavailable where it cannot run here, Corrupt
    for a graph that is not one of this package.
    """
    file = reader.read(path)
    package = packages if isinstance(packages, Package) else package_for(file, packages)
    refinement = None if file.header.is_self_contained else refinement_of(package)
    if refinement is None:
        raise IdentityError(
            f"package {package.name!r} has no {DECODER}",
            path=file.path,
            fix="decode without refinement, or train and install one (docs/refinement.md)",
        )
    records = [record.data for record in file.scan.records]
    scene = NecScene(file, package, decode(package, file.header, records, refine=refinement))
    # Empty: the file's own tables have not come, so nothing is decoded.
    if scene.decoded.refinement not in (REFINED, ""):
        raise BackendUnavailable(
            scene.decoded.refinement, path=file.path, fix="install onnxruntime, or decode without refinement"
        )
    return scene
