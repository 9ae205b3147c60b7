"""Sensing times: datetime ↔ microseconds since 1970-01-01T00:00:00Z, without leap seconds (bitstream §3)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from codec.errors import InputError

TIME_UNKNOWN = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(time: datetime | None) -> int:
    """The header's number for `time`; None means unknown. A time without a zone is refused, not guessed."""
    if time is None:
        return TIME_UNKNOWN
    if time.tzinfo is None:
        raise InputError("a sensing time needs a time zone", found=time.isoformat(), fix="give it in UTC")
    return (time - _EPOCH) // _MICROSECOND


def to_datetime(time_us: int) -> datetime | None:
    """UTC time of the header's number; None if it says unknown. Raises InputError beyond years 1 to 9999."""
    if time_us == TIME_UNKNOWN:
        return None
    try:
        return _EPOCH + timedelta(microseconds=time_us)
    except OverflowError as error:
        raise InputError("the sensing time lies outside the calendar", found=f"{time_us} µs") from error
