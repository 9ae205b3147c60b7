"""Spectral indices of the `spyndex` catalogue as plain torch operations.

The catalogue (Awesome Spectral Indices) says what NDVI is; nothing here repeats its formulas. Its text is read from the
installed package without importing it (that would load an HTTP client), parsed once by Python's own parser, and turned
into closures over torch operations. Nothing is evaluated as code: of the syntax tree only numbers, names that the
catalogue declares, + − × ÷, negation and powers with a constant positive exponent are accepted, so a damaged or foreign
catalogue ends in an error that names the index, never in a call.

What every index here does beside its formula: reflectance below 0 (noise of an atmospheric correction) counts as 0;
a quotient whose denominator is nearer to 0 than `NEAR_ZERO` is 0; the result lies within ±`LIMIT`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from codec.errors import BackendUnavailable, Corrupt, InputError

NEAR_ZERO = 1e-6  # reflectance; a hundredth of the step in which Sentinel-2 stores it
LIMIT = 10.0  # normalised differences stay within ±1; simple ratios of dark pixels do not
_MAX_CATALOGUE_BYTES = 1 << 24
_MAX_FORMULA = 1000  # characters; the longest of the catalogue has a few hundred
# The broad near infrared of the catalogue (760 to 900 nm) is OLI's narrow one too; `codec.scene.sensors` calls that nir08.
_STAND_INS: dict[str, tuple[str, ...]] = {"nir": ("nir08",)}

_Value: TypeAlias = "Tensor | float"
_Step = Callable[[Mapping[str, _Value]], _Value]


@dataclass(frozen=True, slots=True)
class BandIndex:
    """One index: the catalogue's formula, and which of our bands each of its letters is."""

    name: str
    formula: str
    bands: tuple[
        tuple[str, str], ...
    ]  # (letter of the formula, canonical band name), in the catalogue's order
    constants: tuple[tuple[str, float], ...] = ()  # (letter, the catalogue's default)
    # The formula as a function: made once, since torch.compile cannot look into a parser.
    computed: _Step = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for _, value in self.constants):
            raise InputError(f"index {self.name} has a constant that is not finite", fix="leave it out")
        object.__setattr__(self, "computed", compile_formula(self))
        _tried(self)  # refuses what is no formula before anybody stores it

    def __reduce__(self) -> tuple[type[BandIndex], tuple[object, ...]]:
        return BandIndex, (self.name, self.formula, self.bands, self.constants)  # functions cannot be pickled

    def __call__(self, reflectance: Mapping[str, Tensor]) -> Tensor:
        """The index of bands by canonical name, tensors of one shape → the same shape; finite for reflectance."""
        given: dict[str, _Value] = {letter: reflectance[band].clamp(min=0.0) for letter, band in self.bands}
        value = self.computed({**given, **dict(self.constants)})
        assert isinstance(value, Tensor)  # it was tried when it was made
        return value.clamp(-LIMIT, LIMIT)

    def to_json(self) -> dict[str, Any]:
        """What an adapter file stores, so that a later catalogue cannot change an adapter that is in use."""
        return {
            "name": self.name,
            "formula": self.formula,
            "bands": [list(pair) for pair in self.bands],
            "constants": [list(pair) for pair in self.constants],
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> BandIndex:
        """The way back. Raises Corrupt for an entry of another form, and InputError for a formula that is none."""
        try:
            bands = tuple((str(letter), str(band)) for letter, band in entry["bands"])
            constants = tuple((str(letter), float(value)) for letter, value in entry["constants"])
            return cls(str(entry["name"]), str(entry["formula"]), bands, constants)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Corrupt(f"not the entry of a spectral index: {error}") from error


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """Indices that can be computed from some bands, and those that lack a band."""

    indices: tuple[BandIndex, ...]
    left_out: tuple[tuple[str, tuple[str, ...]], ...]  # (index, canonical names of the bands it lacks)


def choose(names: Iterable[str], bands: Sequence[str]) -> IndexChoice:
    """The catalogue's indices `names`, in this order, as far as `bands` (canonical names) have what they need.

    Raises InputError for an index that the catalogue does not have, that stands twice, or that needs more than bands and
    constants; BackendUnavailable without `spyndex`; Corrupt for a catalogue of another form.
    """
    found: list[BandIndex] = []
    left_out: list[tuple[str, tuple[str, ...]]] = []
    for name in (names := tuple(names)):
        if names.count(name) > 1:
            raise InputError(f"the index {name} is asked for twice", fix="name every index once")
        index, missing = _resolve(name, bands)
        if index is None:
            left_out.append((name, missing))
        else:
            found.append(index)
    return IndexChoice(tuple(found), tuple(left_out))


def _resolve(name: str, bands: Sequence[str]) -> tuple[BandIndex | None, tuple[str, ...]]:
    catalogue = _catalogue()
    if name not in catalogue.formulas:
        near = sorted(known for known in catalogue.formulas if known.lower() == name.lower())
        hint = f"; did you mean {near[0]}" if near else ""
        raise InputError(
            f"the catalogue has no index {name!r}", fix=f"spyndex.indices lists those there are{hint}"
        )
    formula, letters = catalogue.formulas[name]
    placed: list[tuple[str, str]] = []
    constants: list[tuple[str, float]] = []
    missing: list[str] = []
    for letter in letters:
        if letter in catalogue.bands:
            wanted = catalogue.bands[letter]
            band = next((b for b in (wanted, *_STAND_INS.get(wanted, ())) if b in bands), None)
            if band is None:
                missing.append(wanted)
            else:
                placed.append((letter, band))
        elif (value := catalogue.constants.get(letter)) is not None:
            constants.append((letter, value))
        else:
            raise InputError(
                f"index {name} needs {letter}, which is neither a band nor a constant of the catalogue",
                fix="leave it out",
            )
    return (None if missing else BandIndex(name, formula, tuple(placed), tuple(constants))), tuple(missing)


@dataclass(frozen=True, slots=True)
class _Catalogue:
    formulas: dict[str, tuple[str, tuple[str, ...]]]  # index → its formula and the letters it declares
    bands: dict[str, str]  # letter → STAC common name, which is our canonical one
    constants: dict[str, float]


@lru_cache(maxsize=1)
def _catalogue() -> _Catalogue:
    spec = importlib.util.find_spec("spyndex")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable(
            "the catalogue of spectral indices (spyndex) is not installed",
            fix="pip install 'swathpack[adapt]', or ask for no indices",
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    indices = _read(folder / "spectral-indices-dict.json")
    try:
        # The published file wraps its entries; releases differ in whether they keep that.
        entries = indices.get("SpectralIndices", indices)
        formulas = {
            str(name): (str(entry["formula"]), tuple(str(b) for b in entry["bands"]))
            for name, entry in entries.items()
        }
        bands = {
            str(letter): str(entry["common_name"]) for letter, entry in _read(folder / "bands.json").items()
        }
        constants = {
            str(letter): float(entry["default"])
            for letter, entry in _read(folder / "constants.json").items()
            if entry["default"] is not None
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(
            f"the catalogue of spectral indices has another form: {error!r}",
            path=folder,
            fix="install the version of spyndex that constraints.txt names",
        ) from error
    return _Catalogue(formulas, bands, constants)


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_CATALOGUE_BYTES)
        value = json.loads(data)
    except (OSError, ValueError) as error:
        raise Corrupt(
            f"the catalogue of spectral indices cannot be read: {error}",
            path=path,
            fix="install the version of spyndex that constraints.txt names",
        ) from error
    if not isinstance(value, dict):
        raise Corrupt("the catalogue of spectral indices is no table", path=path)
    return value


def _tried(index: BandIndex) -> None:
    """Compute the index of a black, a dark and a bright pixel: what powers and large numbers do shows only then."""
    pixels = torch.tensor([0.0, 0.1, 1.0], device="cpu")
    try:
        value = index.computed({**{letter: pixels for letter, _ in index.bands}, **dict(index.constants)})
    except (InputError, OverflowError) as error:
        what = error.what if isinstance(error, InputError) else "its formula leaves the range of numbers"
        raise InputError(f"index {index.name}: {what}", fix="leave it out") from error
    if not isinstance(value, Tensor):
        raise InputError(f"index {index.name} depends on no band", fix="leave it out")
    if not bool(value.isfinite().all()):
        raise InputError(f"index {index.name} is not finite for reflectance of 0 to 1", fix="leave it out")


def compile_formula(index: BandIndex) -> _Step:
    """The formula as a function of its letters. Raises InputError naming the index where it is not plain arithmetic."""
    letters = {letter for letter, _ in (*index.bands, *index.constants)}
    try:
        if len(index.formula) > _MAX_FORMULA:
            raise InputError(f"its formula has more than {_MAX_FORMULA} characters")
        return _step(ast.parse(index.formula.strip(), mode="eval").body, letters)
    except (SyntaxError, ValueError, OverflowError, RecursionError) as error:  # InputError is a ValueError
        raise InputError(
            f"index {index.name}: {error.what if isinstance(error, InputError) else error}",
            found=repr(index.formula[:80]),
            fix="leave it out",
        ) from error


def _step(node: ast.expr, letters: set[str]) -> _Step:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = float(node.value)  # type: ignore[arg-type]  # the line above
        if not math.isfinite(number):
            raise InputError("its formula has a number that is not finite")
        return lambda _: number
    if isinstance(node, ast.Name):
        if node.id not in letters:
            raise InputError(f"its formula uses {node.id}, which it does not declare")
        letter = node.id
        return lambda given: given[letter]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _step(node.operand, letters)
        return lambda given: -inner(given)
    if isinstance(node, ast.BinOp):
        left, right = _step(node.left, letters), _step(node.right, letters)
        for kind, combined in _COMBINED:
            if isinstance(node.op, kind):
                return lambda given: combined(left(given), right(given))
    raise InputError("its formula is not plain arithmetic")


def _divided(a: _Value, b: _Value) -> _Value:
    if not isinstance(b, Tensor):
        return 0.0 if abs(b) < NEAR_ZERO else a / b
    near = b.abs() < NEAR_ZERO
    return torch.where(near, 0.0, a / torch.where(near, 1.0, b))


def _raised(a: _Value, b: _Value) -> _Value:
    if isinstance(b, Tensor) or not 0 < b <= 8:
        raise InputError("its formula raises to a power that is no constant from 0 to 8")
    if b == int(b):
        return a**b
    return a.clamp(min=0.0) ** b if isinstance(a, Tensor) else max(a, 0.0) ** b  # no real root of less than 0


_COMBINED: tuple[tuple[type[ast.operator], Callable[[_Value, _Value], _Value]], ...] = (
    (ast.Add, lambda a, b: a + b),
    (ast.Sub, lambda a, b: a - b),
    (ast.Mult, lambda a, b: a * b),
    (ast.Div, _divided),
    (ast.Pow, _raised),
)
