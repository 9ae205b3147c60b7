"""Foreign pickles read as plain data: no class of theirs is imported, no code of theirs runs.

GEO-Bench keeps its band and task descriptions in pickles. Unpickling them the usual way hands the interpreter to whoever
wrote the file. Here every class of a known module becomes a record of its attributes, numpy arrays are rebuilt from their
bytes by `numpy.frombuffer`, and any other name is refused.
"""

from __future__ import annotations

import datetime
import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np

from codec.errors import Corrupt, LimitExceeded

MAX_BYTES = 64 << 20
_MAX_NUMBERS = 1 << 26
_MAX_DEPTH = 50


class Record:
    """What is left of a foreign object: its class's name, what it was made from, and its attributes."""

    def __init__(self, kind: str, args: tuple[Any, ...]) -> None:
        self.kind = kind
        self.args = args
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; the default where there is none."""
        return self.state.get(name, default) if isinstance(self.state, dict) else default

    def __repr__(self) -> str:
        return f"Record({self.kind})"


class _Array(Record):
    """An ndarray on its way: `_reconstruct` makes it, its state fills it."""

    def __init__(self) -> None:
        super().__init__("numpy.ndarray", ())

    def value(self) -> np.ndarray[Any, Any]:
        try:
            _, shape, dtype, fortran, data = self.state
            return _numbers(dtype, data, tuple(shape), "F" if fortran else "C")
        except (TypeError, ValueError) as error:
            raise Corrupt("the pickle holds an array that is none", found=str(error)[:80]) from error


class _Dtype(Record):
    """A numpy dtype: its code, and the byte order that its state gives."""

    def value(self) -> np.dtype[Any]:
        code = self.args[0] if self.args else None
        if not isinstance(code, str) or code[:1] not in "biuf" or not code[1:].isdecimal():
            raise Corrupt("the pickle holds numbers of a type that is not read", found=str(code)[:20])
        swapped = isinstance(self.state, tuple) and len(self.state) > 1 and self.state[1] == ">"
        return np.dtype(f"{'>' if swapped else '<'}{code}")


def _numbers(dtype: Any, data: Any, shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or not all(type(n) is int for n in shape):
        raise ValueError("no plain numbers")
    kind = dtype.value()
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if not 0 <= count <= _MAX_NUMBERS or count * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for {count} numbers")
    return np.frombuffer(data, kind).reshape(shape, order=order).copy()  # type: ignore[call-overload,no-any-return]


class _Maker:
    """Stands for a class or function of the pickle; called or instantiated, it gives inert data."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *args: Any) -> Any:
        name = self.kind.rpartition(".")[2]
        if self.kind.startswith("numpy"):
            if name == "_reconstruct":
                return _Array()
            if name == "dtype":
                return _Dtype(self.kind, args)
            if name == "scalar":
                return _numbers(args[0], args[1] if len(args) > 1 else None, (), "C").item()
            if name == "_frombuffer":
                buffer, dtype, shape, order = args
                return _numbers(dtype, bytes(buffer), tuple(shape), str(order))
            return Record(self.kind, args)
        return Record(self.kind, args)


_PLAIN = {
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
}
_NUMPY = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (m, n)
        for m in ("numpy.core.multiarray", "numpy._core.multiarray")
        for n in ("_reconstruct", "scalar")
    ),
    *((m, "_frombuffer") for m in ("numpy.core.numeric", "numpy._core.numeric")),
}


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, modules: tuple[str, ...]) -> None:
        super().__init__(io.BytesIO(data))
        self.modules = modules

    def find_class(self, module: str, name: str) -> Any:
        plain = _PLAIN.get((module, name))
        if plain is not None:
            return plain
        ours = any(module == known or module.startswith(f"{known}.") for known in self.modules)
        if (module, name) in _NUMPY or (ours and "." not in name):
            # A class, for the protocol's NEWOBJ makes instances of classes only.
            maker = _Maker(f"{module}.{name}")

            def make(cls: type, *args: Any) -> Any:
                return maker(*args)

            return type("Inert", (), {"__new__": make})
        raise Corrupt(
            f"the pickle asks for {module}.{name}", fix="it is not of this data set: do not trust the file"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise Corrupt("the pickle refers to something outside itself")


def _settle(value: Any, seen: dict[int, Any], depth: int = 0) -> Any:
    """Arrays in place of what stands for them. Each object is visited once, however often it is referred to."""
    if depth > _MAX_DEPTH:
        raise Corrupt("the pickle is nested too deeply")
    if not isinstance(value, Record | dict | list | tuple):
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    result: Any = value
    seen[id(value)] = (value, result)  # keeps it alive, so that its id stays its own
    if isinstance(value, _Array | _Dtype):
        result = value.value()
    elif isinstance(value, Record):
        value.state = _settle(value.state, seen, depth + 1)
    elif isinstance(value, dict):
        result = {key: _settle(item, seen, depth + 1) for key, item in value.items()}
    else:
        result = type(value)(_settle(item, seen, depth + 1) for item in value)
    seen[id(value)] = (value, result)
    return result


def load(data: bytes, modules: tuple[str, ...]) -> Any:
    """The pickle's value, with objects of `modules` (and their submodules) as `Record`s.

    Raises Corrupt for a pickle that is none or asks for anything else, LimitExceeded for one of more than 64 MiB.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"a pickle of {len(data)} bytes is not read", expected=f"at most {MAX_BYTES}")
    try:
        return _settle(_Reader(data, modules).load(), {})
    except Corrupt:
        raise
    except (RecursionError, MemoryError, Exception) as error:  # a broken pickle can raise anything
        raise Corrupt("not a pickle", found=str(error)[:80] or type(error).__name__) from error
