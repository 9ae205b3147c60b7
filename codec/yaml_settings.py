"""Settings from a YAML file with overrides by name; whatever is wrong is said with its line or its override.

schedule: {samples: 1000000}     # in the file
--set schedule.samples=200000    # on the command line
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from codec.errors import UsageError


def parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """YAML mapping and the line of every dotted key."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: no legal YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise UsageError("the YAML is nested too deeply", path=path) from None
    if not isinstance(values, dict):
        raise UsageError("a recipe is a mapping of sections", path=path, found=type(values).__name__)
    lines: dict[str, int] = {}

    def walk(at: Any, prefix: str) -> None:
        if isinstance(at, yaml.MappingNode):
            for key, value in at.value:
                name = f"{prefix}{key.value}"
                lines[name] = key.start_mark.line + 1
                walk(value, f"{name}.")

    walk(node, "")
    return values, lines


def overridden(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    """Put `name=value` overrides (YAML values, dotted names) into `values`; which override gave each name."""
    given = {}
    for override in overrides:
        name, _, value = override.partition("=")
        _assign(values, name, value, override)
        given[name] = override
    return given


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(kind: type[Settings], where: Path, overrides: Sequence[str]) -> Settings:
    """A small recipe of its own kind. Raises UsageError naming the line or the override."""
    try:
        text = where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe cannot be read: {error}", path=where) from error
    values, lines = parse(text, where)
    given = overridden(values, overrides)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, what = ".".join(map(str, first["loc"])), first["msg"].lower().removeprefix("value error, ")
        if not name:  # values that do not fit each other
            raise UsageError(what, path=where, found=", ".join(overrides) or None) from None
        raise UsageError(f"{place_of(name, lines, where, given)}: {what}", found=first["input"]) from None


def _assign(values: dict[str, Any], name: str, value: str, override: str) -> None:
    parts = name.split(".")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(f"--set {override}: the value is no legal YAML") from None
    if not value or not all(parts):
        raise UsageError(f"--set {override}: give section.key=value, e.g. schedule.samples=200000")
    at = values
    for part in parts[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise UsageError(f"--set {override}: {part} is not a section")
    at[parts[-1]] = parsed


def place_of(name: str, lines: Mapping[str, int], path: Path, overrides: Mapping[str, str]) -> str:
    """Where a dotted name was given: its override, or file and line."""
    for known, override in overrides.items():
        if name == known or name.startswith(f"{known}.") or known.startswith(f"{name}."):
            return f"--set {override}"
    found = [known for known in lines if name == known or name.startswith(f"{known}.")]
    return f"{path}, line {lines[max(found, key=len)]}, {name}" if found else f"{path}, {name}"
