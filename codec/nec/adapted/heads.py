"""Heads of a package with an adapter: `python -m codec.nec.adapted.heads fit --package NEW --data DIR`.

As `python -m codec.heads`, on the tokens that the adapter makes of its base's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from codec.heads.__main__ import main
from codec.package.manifest import ADAPTER, ENCODER

if TYPE_CHECKING:
    from codec.adapt.encoder import AdaptedEncoder
    from codec.package import Package


def encoder_of(package: Package) -> AdaptedEncoder:
    """The adapted encoder of a package. Raises IdentityError where it has no adapter, and as `load_adapted_encoder`."""
    from codec.adapt.encoder import load_adapted_encoder

    return load_adapted_encoder(package.path(ENCODER), package.path(ADAPTER))


if __name__ == "__main__":
    sys.exit(main(prog="python -m codec.nec.adapted.heads", encoder_of=encoder_of))
