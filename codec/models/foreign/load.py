"""From a file to a running encoder: compare with the layout, refuse or load."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from codec.errors import InputError
from codec.models.foreign.checkpoint import Checkpoint, read_checkpoint
from codec.models.foreign.encoder import ForeignEncoder, TrunkEncoder, VitEncoder
from codec.models.foreign.galileo import GalileoEncoder
from codec.models.foreign.layout import Layout, read_layout
from codec.models.foreign.mapping import MappingReport, Row, Status
from codec.models.foreign.prithvi import PrithviEncoder
from codec.models.foreign.satmae import SatMaeGroupEncoder, SatMaeTemporalEncoder
from codec.models.foreign.scale_mae import ScaleMaeEncoder
from codec.models.foreign.swin import SwinEncoder
from codec.models.foreign.windows import as_computed

_TRUNKS: dict[str, type[TrunkEncoder]] = {
    "vit": VitEncoder,
    "scale_mae": ScaleMaeEncoder,
    "satmae_group": SatMaeGroupEncoder,
    "satmae_temporal": SatMaeTemporalEncoder,
    "prithvi": PrithviEncoder,
}


def build(layout: Layout, *, decoder: bool = False) -> ForeignEncoder:
    """The encoder of a layout with weights that mean nothing; inside `torch.device("meta")` it takes no memory."""
    if decoder and not layout.decoder:
        raise InputError(f"layout {layout.name} offers no decoder", fix="load it without its decoder")
    if layout.family == "galileo":
        return GalileoEncoder(layout)
    if layout.family == "swin":
        return SwinEncoder(layout)
    return _TRUNKS[layout.family](layout, decoder=decoder)


def inspect(name_or_layout: str | Layout, path: Path, *, decoder: bool = False) -> MappingReport:
    """What loading would do, tensor by tensor. Raises only if the file cannot be read as tensors at all."""
    layout = read_layout(name_or_layout) if isinstance(name_or_layout, str) else name_or_layout
    return compare(layout, read_checkpoint(layout, path), decoder=decoder)


def load_foreign(name_or_layout: str | Layout, path: Path, *, decoder: bool = False) -> ForeignEncoder:
    """Read a published checkpoint into its encoder: frozen, eval mode, float32; `.report` says what was mapped.

    Names and shapes are compared with the layout (not with our module) both ways; every tensor of the layout must be
    there, in its shape, finite, and no other, except those that the layout lets be there. A square matrix that was
    transposed has the same shape and cannot be seen. With `decoder` the MAE decoder is loaded too, as `.decoder`.

    Raises InputError (unknown layout, unreadable, or the first tensor that does not fit, by name) and Corrupt.
    """
    layout = read_layout(name_or_layout) if isinstance(name_or_layout, str) else name_or_layout
    checkpoint = read_checkpoint(layout, path)
    report = compare(layout, checkpoint, decoder=decoder)
    report.require()
    with torch.device("meta"):  # the weights come from the file; nothing is initialised
        encoder = build(layout, decoder=decoder)
    state = {
        row.own: checkpoint.tensors[row.foreign].float()
        for row in report.rows
        if row.own is not None and row.status is Status.LOADED
    }
    encoder.load_state_dict(state, strict=True, assign=True)
    encoder.report = report
    return encoder.eval().requires_grad_(False)


def compare(layout: Layout, checkpoint: Checkpoint, *, decoder: bool = False) -> MappingReport:
    """The mapping report of a file that was read."""
    tensors = checkpoint.tensors
    unknown = {key: value for key, value in tensors.items() if key not in layout.keys}
    rows = [_row(layout, key, tensors.get(key), unknown, decoder) for key in layout.keys]
    rows += [
        Row(checkpoint.written[key], None, None, tuple(value.shape), Status.UNEXPECTED)
        for key, value in unknown.items()
    ]
    rows += [
        Row(key, None, None, tuple(value.shape), Status.UNEXPECTED, f"not under {checkpoint.prefix!r}")
        for key, value in checkpoint.strays.items()
    ]
    rows += [_left_out(layout, key, value) for key, value in checkpoint.dropped.items()]
    return MappingReport(
        layout=layout.name,
        source=f"{layout.repository} @ {layout.commit}",
        path=str(checkpoint.path),
        wrapper=checkpoint.wrapper,
        prefix=checkpoint.prefix,
        beside=checkpoint.beside,
        rows=tuple(rows),
    )


def _left_out(layout: Layout, key: str, value: Tensor) -> Row:
    found = tuple(value.shape)
    if not key.endswith(layout.buffers):
        return Row(key, None, None, found, Status.SKIPPED, "not listed; the layout lets it be there")
    status = Status.SKIPPED if as_computed(key, value) else Status.NOT_OURS
    return Row(key, None, None, found, status, "computed here" if status is Status.SKIPPED else "")


def _row(layout: Layout, key: str, value: Tensor | None, unknown: dict[str, Tensor], decoder: bool) -> Row:
    own = layout.own(key, decoder=decoder)
    expected = None if key in layout.any_shape else layout.keys[key]
    if value is None:
        alike = [name for name, other in unknown.items() if tuple(other.shape) == expected]
        return Row(key, own, expected, None, Status.MISSING, f"{alike[0]} has its shape" if alike else "")
    found = tuple(value.shape)
    if expected is not None and found != expected:
        note = "transposed?" if found == expected[::-1] else ""
        return Row(key, own, expected, found, Status.MISSHAPEN, note)
    if own is not None and not value.is_floating_point():
        return Row(key, own, expected, found, Status.NOT_NUMBERS, str(value.dtype).removeprefix("torch."))
    if value.is_floating_point() and not bool(value.float().isfinite().all()):
        return Row(key, own, expected, found, Status.NOT_FINITE)
    if own is None:
        return Row(key, None, expected, found, Status.SKIPPED, layout.why_skipped(key))
    return Row(key, own, expected, found, Status.LOADED)
