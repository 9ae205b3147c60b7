"""The build id of a checkout: what `_swathpack_core.build_id()` must say when the module was built from it.

For each file that decides what the compiled module does, sorted by its path (bytes, `/` between folders), one line
`<sha256 of the file, hex>  <path>` and a line feed; the id is the SHA-256 (hex) of these lines. CMakeLists.txt
does the same with CMake's own functions. Files: CMakeLists.txt and every .h, .cpp and .in file below cpp/include,
cpp/src and cpp/bindings (tests and fuzz targets are not in the module, and do not change it).

    python cpp/build_id.py [CHECKOUT]      prints the id
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

FOLDERS = ("cpp/bindings", "cpp/include", "cpp/src")
SUFFIXES = (".cpp", ".h", ".in")


def build_id(checkout: Path) -> str:
    """Build id (64 hex digits) of the sources below `checkout`; OSError where one cannot be read."""
    paths = ["CMakeLists.txt"]
    for folder in FOLDERS:
        found = (path for path in (checkout / folder).rglob("*") if path.suffix in SUFFIXES)
        paths.extend(path.relative_to(checkout).as_posix() for path in found)
    lines = (
        f"{hashlib.sha256((checkout / path).read_bytes()).hexdigest()}  {path}\n" for path in sorted(paths)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    print(build_id(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]))
