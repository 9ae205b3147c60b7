"""What both quantising kernels share: a plane's parameters on a device, what comes out, the reference quantiser."""

from kernels.quantiser.cells import Cells, Quantised

__all__ = ["Cells", "Quantised"]
