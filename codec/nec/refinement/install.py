"""A graph becomes a package's `decoder.onnx`: listed in the manifest by its hash; no id changes."""

from __future__ import annotations

from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import Corrupt, InputError
from codec.nec.refinement.session import DECODER, OnnxRefinement
from codec.package import Package, load, refresh


def install(folder: Path, graph: Path) -> Package:
    """Put `graph` into the package and list it. A graph that is not for this package is refused before anything is written.

    Raises InputError where the file cannot be read, Corrupt for a graph that does not load or has other inputs.
    """
    package = load(folder)
    try:
        data = Path(graph).read_bytes()
    except OSError as error:
        raise InputError(f"the graph cannot be read: {error.strerror}", path=graph) from error
    if not data:
        raise Corrupt("the graph is empty", path=graph)
    OnnxRefinement(package, Path(graph)).check()
    write_atomic(package.folder / DECODER, data)
    return refresh(package.folder)
