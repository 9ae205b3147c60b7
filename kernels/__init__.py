"""GPU kernels in Triton, one folder each, beside the PyTorch twin that they must equal; registered as `torch.library` ops.

Without a GPU every op is its twin. On one without the `triton` package it is, too, and that is said once.
"""
