"""The table of layouts in the documentation, written from the layout files.

    python -m codec.models.foreign.page docs/foreign.md

replaces what stands between its two marks. A test keeps the page and the files equal.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.models.foreign.layout import Layout, layout_names, read_layout

BEGIN = "<!-- layouts: made by python -m codec.models.foreign.page docs/foreign.md -->"
END = "<!-- end of layouts -->"
_HEADING = (
    "layout",
    "family",
    "bands",
    "patch",
    "width",
    "blocks",
    "tensors",
    "loaded",
    "decoder",
    "definition",
)


def table() -> str:
    """The table, with the marks around it."""
    lines = [_HEADING, tuple("---" for _ in _HEADING), *(_row(read_layout(name)) for name in layout_names())]
    return "\n".join([BEGIN, *("| " + " | ".join(line) + " |" for line in lines), END])


def replace(page: str) -> str:
    """The page with the table made anew."""
    begin, end = page.find(BEGIN), page.find(END)
    if not 0 <= begin < end:
        raise InputError("the page has no marks of the table", expected=f"{BEGIN} … {END}")
    return page[:begin] + table() + page[end + len(END) :]


def _row(layout: Layout) -> tuple[str, ...]:
    loaded = [key for key in layout.keys if layout.own(key) is not None]
    patch = next(key for key in loaded if "proj.weight" in key and len(layout.keys[key]) >= 4)
    norms = [key for key in loaded if key.endswith(".norm1.weight")]
    millions = sum(math.prod(layout.keys[key]) for key in loaded) / 1e6
    return (
        f"`{layout.name}`",
        layout.family,
        str(len(layout.bands)),
        str(layout.keys[patch][-1]),
        str(layout.keys[norms[-1]][0]),  # of a pyramid, the last stage's
        str(len(norms)),
        str(len(layout.keys)),
        f"{len(loaded)} ({millions:.1f} M numbers)",
        "yes" if layout.decoder else "no",
        f"{layout.repository} `{layout.file}` @ {layout.commit}, {layout.paper}",
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_atomic(target, replace(target.read_text(encoding="utf-8")).encode())
