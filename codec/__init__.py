"""Swathpack's codec: embeddings of satellite scenes as a few hundred bytes per tile, and back.

    import codec
    scene = codec.open("a.nec")
    scene.embedding("tokens").values, scene.validity, scene.georeference

Importing this package loads nothing; numpy and the compiled core come with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.pipeline.nec_scene import NecScene as NecScene
    from codec.pipeline.nec_scene import open_nec as open  # noqa: A004

__all__ = ["NecScene", "open"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from codec.pipeline import nec_scene

        return nec_scene.open_nec if name == "open" else nec_scene.NecScene
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
