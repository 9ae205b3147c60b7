"""The station's settings: file (TOML), then environment (SWATHPACK_GROUND_*), then flags; the later one counts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from codec.errors import BackendUnavailable, UsageError

PREFIX = "SWATHPACK_GROUND_"


class GroundConfig(BaseModel):
    """Every setting; sizes in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    station: Path  # the folder that holds inbox, spool, ledger and products; made if absent
    inbox: Path | None = None  # None: `inbox` in the station's folder
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)  # None: no UDP; 0: any free port
    models: tuple[
        Path, ...
    ] = ()  # packages, or folders of packages; empty: SWATHPACK_MODELS and the shipped ones
    once: bool = False  # work on what is there and stop
    rebuild: bool = False  # make the ledger's index anew from the spool
    embeddings: bool = False  # also write the GeoTIFF of each plane's embedding
    refine: bool = False  # run a package's decoder.onnx on what was decoded, before heads see it
    coder: str = "core"  # the entropy back end, by name; `gpu` for a station with an NVIDIA card
    poll_s: float = Field(default=0.2, gt=0, le=60)
    stable_s: float = Field(
        default=1.0, ge=0, le=3600
    )  # a dropped file is complete when it did not change for so long
    settle_s: float = Field(
        default=0.5, ge=0, le=3600
    )  # pause after a file's last piece before products are made …
    refresh_s: float = Field(default=5.0, gt=0, le=3600)  # … but not longer than this
    package_poll_s: float = Field(
        default=5.0, gt=0, le=3600
    )  # how often packages are looked for that files wait for, or room on the GPU
    group_s: float = Field(default=0.05, gt=0, le=1)  # datagrams wait this long for others before the fsync …
    group_packets: int = Field(default=500, ge=1, le=100_000)  # … or until so many are there
    segment_bytes: int = Field(default=64 << 20, ge=4096)
    max_file_bytes: int = Field(default=1 << 30, ge=1, le=(1 << 32) - 1)

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def load_config(
    flags: Mapping[str, Any], *, path: Path | None = None, environment: Mapping[str, str] | None = None
) -> GroundConfig:
    """Settings from all three places; flags that are None do not count.

    Raises UsageError naming line, variable or flag; BackendUnavailable for a file on Python 3.10 without `tomli`.
    """
    environment = os.environ if environment is None else environment
    text = "" if path is None else _read(path)
    from_file = {} if path is None else _parse(text, path)
    from_environment = {
        name: environment[PREFIX + name.upper()]
        for name in GroundConfig.model_fields
        if PREFIX + name.upper() in environment
    }
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return GroundConfig.model_validate({**from_file, **from_environment, **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if name in given:
            where = f"--{name.replace('_', '-')}"
        elif name in from_environment:
            where = f"environment {PREFIX}{name.upper()}"
        elif name in from_file:
            where = f"{path}, line {_line(text, name)}, {name}"
        else:
            where = f"setting {name}"
        found = None if first["type"] == "missing" else first["input"]
        fix = "see docs/ground.md for the settings"
        raise UsageError(f"{where}: {first['msg'].lower()}", found=found, fix=fix) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings cannot be read: {error}", path=path) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:
        try:
            import tomli as tomllib  # Python 3.10
        except ModuleNotFoundError as error:
            raise BackendUnavailable(
                "reading TOML on Python 3.10 needs tomli", path=path, fix="pip install tomli, or use flags"
            ) from error
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"no legal TOML: {error}", path=path) from error


def _line(text: str, name: str) -> int:
    pattern = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=")
    return next((i for i, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)
