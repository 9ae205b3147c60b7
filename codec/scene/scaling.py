"""How the numbers of these files become reflectance: by what is known best, and said in the notes.

In this order: what the caller says; the product's XML; scale and offset in the file; the product's name; the
type of the numbers; for Sentinel-2 the pixels themselves (`dn_offset.py`). What stays open is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.scene.dn_offset import OffsetEvidence, dark_level, judge_dn_offset
from codec.scene.product_names import ProductName
from codec.scene.radiance import reflectance_line, sine_of_elevation
from codec.scene.safe import SafeProduct
from codec.scene.sensors import REFLECTANCE, Scaling, Sensor
from codec.scene.sources import Source

Samples = Mapping[str, npt.NDArray[np.float64]]  # canonical band name → DN of sampled valid pixels

_REFLECTANCE_TOP = 3.0  # floating-point files whose numbers stay below hold reflectance, not DN


@dataclass(frozen=True, slots=True)
class Decoding:
    """reflectance = DN · gain + offset, except for the DN in `invalid` and NaN."""

    gain: float
    offset: float
    invalid: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What is known of a scene beside its pixels."""

    scaling: str | None = None  # what the caller says
    product: ProductName = field(default_factory=ProductName)
    safe: SafeProduct | None = None
    time: datetime | None = None
    sun_elevation_deg: float | None = None


def invalid_numbers(source: Source, scaling: Scaling) -> tuple[float, ...]:
    """DN that are not measurements, as the file and the sensor say."""
    numbers = [source.nodata, scaling.nodata, *scaling.flags]
    if not scaling.saturated_is_valid:
        numbers.append(scaling.saturation)
    return tuple(dict.fromkeys(n for n in numbers if n is not None and not np.isnan(n)))


def choose_decodings(
    sensor: Sensor, chosen: Mapping[str, Source], samples: Samples, facts: SceneFacts
) -> tuple[dict[str, Decoding], list[str]]:
    """A decoding per band, and notes on what was decided why. `samples` may hold more bands than `chosen`."""
    if facts.scaling is None and facts.safe is not None:
        product = facts.safe
        base = sensor.scalings[0]
        return {
            name: Decoding(
                product.gain, product.offsets[sensor.band(name).native], invalid_numbers(source, base)
            )
            for name, source in chosen.items()
        }, [f"reflectance scale: {product.offset_reason}"]
    tagged = [source for source in chosen.values() if source.scale != 1.0 or source.offset != 0.0]
    if facts.scaling is None and len(tagged) == len(chosen):
        base = sensor.scalings[0]
        own = {
            name: Decoding(source.scale, source.offset, invalid_numbers(source, base))
            for name, source in chosen.items()
        }
        notes = [f"reflectance scale: the file's own, {tagged[0].scale:g} · DN {tagged[0].offset:+g}"]
        left = _offset_left(
            sensor, {name: samples[name] * line.gain + line.offset for name, line in own.items()}
        )
        if left:
            notes.append(f"{left}: check the scale and offset in the file")
        return own, notes
    scaling, reason = _choose(sensor, chosen, samples, facts)
    _check_range(sensor, scaling, samples)
    notes = [f"reflectance scale: {scaling.name}, {reason}"]
    if scaling is REFLECTANCE and facts.scaling is not None:
        notes += [left] if (left := _offset_left(sensor, samples)) else []
    evidence = _pixel_evidence(sensor, samples) if scaling.name in ("no-offset", "plus1000") else None
    if evidence and evidence.scaling not in (None, scaling.name):
        notes.append(f"the pixels speak for {evidence.scaling} instead: {evidence.reason}")
    lines, said = _lines(sensor, scaling, chosen, facts)
    # A product's flag far below every reflectance means the same in files of fractions.
    flag = sensor.scalings[0].nodata
    flags = (flag,) if scaling is REFLECTANCE and flag is not None and flag < -1 else ()
    return {
        name: Decoding(*lines[name], (*invalid_numbers(source, scaling), *flags))
        for name, source in chosen.items()
    }, notes + said


def _choose(
    sensor: Sensor, chosen: Mapping[str, Source], samples: Samples, facts: SceneFacts
) -> tuple[Scaling, str]:
    if facts.scaling is not None:
        return sensor.scaling(facts.scaling), "as asked for"
    dtypes = {source.dtype for source in chosen.values()}
    top = max((float(np.quantile(s, 0.999)) for s in samples.values() if s.size), default=0.0)
    if all(dtype.startswith("float") for dtype in dtypes) and top <= _REFLECTANCE_TOP:
        if sensor.dn_max is not None:
            raise InputError(
                f"{sensor.name} has 8-bit numbers, these are fractions up to {top:.3g}",
                fix="give the scaling: reflectance, or convert the file to 8 bit",
            )
        if left := _offset_left(sensor, samples):
            raise InputError(left, fix="subtract 0.1, or give the scaling: reflectance")
        return REFLECTANCE, f"floating-point numbers up to {top:.3g}"
    if facts.product.scaling is not None and facts.product.scaling in {s.name for s in sensor.scalings}:
        return sensor.scaling(facts.product.scaling), f"by the product's name {facts.product.source}"
    fitting = [s for s in sensor.scalings if not s.dtypes or not dtypes.isdisjoint(s.dtypes)]
    if sensor.name.startswith("sentinel2"):
        if "uint8" in dtypes:
            raise InputError(f"8-bit numbers are not {sensor.name}", fix="name the sensor s2-export8")
        if not any(sample.size for sample in samples.values()):
            raise InputError("the scene has no valid pixel", fix="check its nodata value")
        evidence = _pixel_evidence(sensor, samples)
        if evidence.scaling is None:
            raise InputError(
                f"cannot tell whether the numbers carry the +1000 of baseline 04.00: {evidence.reason}",
                fix="give the scaling: no-offset or plus1000",
            )
        return sensor.scaling(evidence.scaling), f"judged by the pixels, no metadata tells: {evidence.reason}"
    # Of 8-bit products there is one scaling and a largest number to check it by; of others the kind of number must fit.
    if len(sensor.scalings) == 1 and (fitting or sensor.dn_max is not None):
        return sensor.scalings[0], "the only one of this sensor"
    if len(fitting) == 1:
        return fitting[0], f"the only one of {sensor.name} with {', '.join(sorted(dtypes))} numbers"
    raise InputError(
        f"nothing tells how {', '.join(sorted(dtypes))} numbers of {sensor.name} become reflectance",
        fix=f"give the scaling: {', '.join(s.name for s in sensor.scalings)}",
    )


def _check_range(sensor: Sensor, scaling: Scaling, samples: Samples) -> None:
    if sensor.dn_max is None or scaling is REFLECTANCE:
        return
    for name, sample in samples.items():
        if sample.size and sample.max() > sensor.dn_max:
            raise InputError(
                f"band {name} holds {sample.max():.6g}, {sensor.name} has numbers up to {sensor.dn_max:g}",
                fix="name the sensor it is from",
            )


def _pixel_evidence(sensor: Sensor, samples: Samples) -> OffsetEvidence:
    level = sensor.name.rpartition("-")[2]
    return judge_dn_offset(level, {name: dark_level(s) for name, s in samples.items() if s.size})


def _offset_left(sensor: Sensor, reflectance: Samples) -> str:
    """What is to be said of Sentinel-2 reflectance that somebody made without taking the +1000 off; else nothing.

    Such numbers are a plausible reflectance, 0.1 too bright, and cost a classifier most of its accuracy.
    """
    if not sensor.name.startswith("sentinel2"):
        return ""
    evidence = _pixel_evidence(sensor, {name: values * 1e4 for name, values in reflectance.items()})
    if evidence.scaling != "plus1000":
        return ""
    return f"the reflectance seems to hold the +1000 of baseline 04.00 still (as DN: {evidence.reason})"


def _lines(
    sensor: Sensor, scaling: Scaling, chosen: Mapping[str, Source], facts: SceneFacts
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """(gain, offset) per band, with the sun's elevation where the scaling wants it."""
    if not scaling.needs_sun:
        return dict.fromkeys(chosen, (scaling.gain, scaling.offset)), []
    if sensor.radiance is None:
        if facts.sun_elevation_deg is None:
            return dict.fromkeys(chosen, (scaling.gain, scaling.offset)), [
                "the sun's elevation is not known: reflectance is not divided by its sine, it is too low"
            ]
        sine = sine_of_elevation(facts.sun_elevation_deg)
        return dict.fromkeys(chosen, (scaling.gain / sine, scaling.offset / sine)), []
    if facts.time is None or facts.sun_elevation_deg is None:
        lacking = "sensing date" if facts.time is None else "sun's elevation"
        raise InputError(
            f"{sensor.name} becomes reflectance only with the {lacking}",
            fix="give the sensing time and the sun's elevation in degrees",
        )
    lines = {
        name: reflectance_line(sensor.radiance[name], facts.time, facts.sun_elevation_deg) for name in chosen
    }
    return lines, ["gain states assumed: band 4 low, the other bands high"]
