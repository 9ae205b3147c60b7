"""What an interpreted kernel may touch: nothing outside the arrays that it is given, as a GPU would not forgive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a kernel's every load, store and atomic is checked: AssertionError (within Triton's own) if outside."""
    from triton.runtime import interpreter

    ranges: dict[str, Any] = {}
    builder = interpreter.interpreter_builder
    given = interpreter.GridExecutor._init_args_hst

    def note(executor: Any, args: Any, kwargs: Any) -> Any:
        found = given(executor, args, kwargs)
        tensors = [one for one in found[0] if hasattr(one, "data_ptr")]
        # Views of one array count as one.
        spans = sorted(
            {(one.data_ptr(), one.data_ptr() + one.numel() * one.element_size()) for one in tensors}
        )
        ranges["first"], ranges["end"] = np.array(spans, np.uint64).T
        return found

    def check(pointers: Any, mask: Any) -> None:
        where = np.asarray(pointers.data).reshape(-1)
        taken = np.ones(where.shape, bool) if mask is None else np.asarray(mask.data, bool).reshape(-1)
        where = where[taken]
        span = np.searchsorted(ranges["first"], where, side="right") - 1
        size = pointers.get_element_ty().primitive_bitwidth // 8
        within = (span >= 0) & (where + np.uint64(size) <= ranges["end"][span])
        assert within.all(), "outside of its arrays"

    def checked(name: str, pointers_at: int, mask_at: int) -> Callable[..., Any]:
        plain = getattr(type(builder), name)

        def run(*args: Any) -> Any:
            check(args[pointers_at], args[mask_at])
            return plain(builder, *args)

        return run

    monkeypatch.setattr(interpreter.GridExecutor, "_init_args_hst", note)
    monkeypatch.setattr(builder, "create_masked_load", checked("create_masked_load", 0, 1))
    monkeypatch.setattr(builder, "create_masked_store", checked("create_masked_store", 0, 2))
    monkeypatch.setattr(builder, "create_atomic_rmw", checked("create_atomic_rmw", 1, 3))
