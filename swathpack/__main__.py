"""`python -m swathpack`."""

import sys

from swathpack.cli import main

sys.exit(main())
