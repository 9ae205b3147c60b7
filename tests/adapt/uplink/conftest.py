"""A package that flies, a new one, and the pack between them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from codec.adapt import uplink
from codec.package import Package, load, refresh
from tests.adapt.uplink.flying import other_codec, write_graph
from tests.package.small_package import build_small


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package that flies, with a graph that holds its transform as a graph does."""
    folder = tmp_path_factory.mktemp("flying") / "small"
    build_small(folder)
    write_graph(load(folder), folder)
    return refresh(folder)


@pytest.fixture(scope="module")
def new(base: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The same after an adapter: other embeddings, so other statistics, heads and card."""
    folder = tmp_path_factory.mktemp("ground") / "small"
    shutil.copytree(base.folder, folder)
    codec = other_codec()
    from codec.package import arrays

    (folder / "transform.npz").write_bytes(arrays.encode(codec.transforms, codec.liftings))
    (folder / "tables.bin").write_bytes(codec.tables_bytes)
    (folder / "adapter.safetensors").write_bytes(np.random.default_rng(1).bytes(3000))
    (folder / "heads" / "water.onnx").write_bytes(b"another network")
    (folder / "card.md").write_text("# measured anew\n")
    package = refresh(folder)
    write_graph(package, folder)
    return refresh(folder)


@pytest.fixture(scope="module")
def pack(base: Package, new: Package) -> uplink.Pack:
    return uplink.make(base, new)
