"""The Zarr v3 serializer `swathpack.nec`: chunks of embeddings as `.nec` files (docs/arrays.md).

Zarr finds it by its entry point, so a store is read with `import zarr` alone, given the package that coded it::

    zarr.create_array(store, shape=(4096, 4096, 64), chunks=(256, 256, 64), dtype="float32",
                      serializer=NecSerializer("my-package", bytes_per_vector=12), compressors=None, fill_value=math.nan)

A chunk is a complete file, not a bare run of records: any tool of ours opens one, its index serves partial reads, its seal
shows a cut one, and the codec id in its header is checked against the array's. That costs about 250 bytes a chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.errors import BackendUnavailable, Corrupt, InputError

try:
    from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
    from zarr.abc.store import SuffixByteRequest
except ImportError as _error:
    raise BackendUnavailable(
        f"the Zarr serializer needs zarr 3.1 or newer ({_error})",
        fix="install the `arrays` extra on Python 3.11 or newer: pip install 'swathpack[arrays]'",
    ) from _error

from codec.arrays import serializer_packages as packages
from codec.arrays.chunk_array import axes_of, checked
from codec.arrays.chunk_pieces import Pieces, touched
from codec.arrays.chunk_reader import ChunkEnd, decode_tiles, read_end, read_whole, tiles_of
from codec.arrays.pack import pack
from codec.arrays.tiles import IntArray, TileDecoder
from codec.arrays.tokens import AXES
from codec.bitstream.array_shape import DTYPES
from codec.bitstream.header import MAX_HEADER, FileHeader
from codec.bitstream.reader import read_bytes
from codec.package import Package, load
from codec.types import PlaneKind

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "swathpack.nec"
RECORD_BYTES = 8192  # what a partial read fetches for one token; smaller records cost 15 bytes each
TAIL_BYTES = 16_384  # first request of a partial read: index and seal, and of a small chunk all of it


@dataclass(frozen=True)
class NecSerializer(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Chunks of vectors or token rasters ↔ `.nec`.

    `package`: a loaded package, its folder, or its name (then `codec_id` may say which one of that name). `axes` of a chunk
    behind leading axes of length 1: "nc", "hwc", "chw" or "thwc", by default from the number of axes. The channel axis of
    the array must lie within one chunk. Quality of float packages: `ladder_index`, else `bytes_per_vector`, else the
    package's default; integer packages have none, they code exactly. Tokens whose channels all equal the array's
    fill value are masked and come back as exactly that. `record_bytes` is what records approach.
    """

    is_fixed_size = False

    package: str
    codec_id: str  # hex
    lossless: bool
    axes: str | None = None
    ladder_index: int | None = None
    bytes_per_vector: float | None = None
    record_bytes: int = RECORD_BYTES
    folder: Path | None = field(default=None, compare=False, repr=False)  # a hint, never stored

    def __init__(
        self,
        package: Package | Path | str,
        *,
        codec_id: str | None = None,
        lossless: bool | None = None,
        axes: str | None = None,
        ladder_index: int | None = None,
        bytes_per_vector: float | None = None,
        record_bytes: int = RECORD_BYTES,
    ) -> None:
        """Raises InputError for arguments that contradict each other, IdentityError for a package that is not here."""
        loaded: Package | None = None
        if isinstance(package, Package):
            loaded = package
        elif isinstance(package, Path) or codec_id is None or lossless is None:
            loaded = load(package)
        name = str(package) if loaded is None else loaded.name
        if loaded is not None:
            exact = loaded.planes[0].spec.kind == PlaneKind.INTEGER
            if codec_id not in (None, loaded.codec_id.hex()):
                raise packages.another(name, str(codec_id), loaded)
            if lossless not in (None, exact):
                raise InputError(
                    f"package {name!r} codes {'without' if exact else 'with'} loss", found=lossless
                )
            codec_id, lossless = loaded.codec_id.hex(), exact
            packages.remember(loaded)
        if axes is not None and axes not in AXES:
            raise InputError(f"unknown axes {axes!r}", expected=", ".join(AXES))
        if ladder_index is not None and bytes_per_vector is not None:
            raise InputError("give a ladder index or a budget of bytes, not both")
        if lossless and (ladder_index is not None or bytes_per_vector is not None):
            raise InputError("coding without loss has one size; a budget or a quality means nothing to it")
        for key, value in {
            "package": name,
            "codec_id": codec_id,
            "lossless": lossless,
            "axes": axes,
            "ladder_index": ladder_index,
            "bytes_per_vector": bytes_per_vector,
            "record_bytes": record_bytes,
            "folder": None if loaded is None else loaded.folder,
        }.items():
            object.__setattr__(self, key, value)

    # Metadata

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NecSerializer:
        """From an array's metadata. The package itself is looked for when the first chunk is read."""
        configuration = data.get("configuration")
        if data.get("name") != NAME or not isinstance(configuration, Mapping):
            raise InputError(f"not a configuration of {NAME}", found=data)
        known = {
            "package",
            "codec_id",
            "lossless",
            "axes",
            "ladder_index",
            "bytes_per_vector",
            "record_bytes",
        }
        unknown = sorted(set(configuration) - known)
        absent = sorted({"package", "codec_id", "lossless"} - set(configuration))
        if unknown or absent:
            raise InputError(
                f"the configuration of {NAME} is not legal",
                expected=", ".join(sorted(known)),
                found=f"unknown {unknown}, absent {absent}",
                fix="use a newer Swathpack",
            )
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        """Name and configuration as they stand in zarr.json; what was not given is left out."""
        keys = ("package", "codec_id", "lossless", "axes", "ladder_index", "bytes_per_vector", "record_bytes")
        found = {key: getattr(self, key) for key in keys}
        return {"name": NAME, "configuration": {k: v for k, v in found.items() if v is not None}}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> NecSerializer:
        """Refuses types and fill values that the package cannot code. Inside shards this is the only early check."""
        dtype = array_spec.dtype.to_native_dtype()
        if dtype.kind not in ("iu" if self.lossless else "f"):
            raise InputError(
                f"package {self.package!r} codes {'integers' if self.lossless else 'floats'}", found=dtype,
                fix="fit a package to arrays of this type",
            )  # fmt: skip
        if dtype.newbyteorder("=") not in DTYPES:
            raise InputError(
                "arrays of this type are not coded", expected=", ".join(map(str, DTYPES)), found=dtype
            )
        packages.check_meaning(self.codec_id, float(array_spec.fill_value))
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuses chunks that split the channels."""
        chunk = getattr(chunk_grid, "chunk_shape", None)
        if chunk is None:
            raise InputError(f"{NAME} needs a regular chunk grid", found=type(chunk_grid).__name__)
        axes = axes_of(tuple(chunk), self.axes)
        channel = axes.index("c") - len(axes) + len(shape)
        if chunk[channel] != shape[channel]:
            raise InputError(
                "a chunk must hold all channels", expected=f"{shape[channel]} along axis {channel}",
                found=chunk[channel], fix="choose larger chunks along this axis",
            )  # fmt: skip

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before coding."""
        raise NotImplementedError

    # Whole chunks

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array = chunk_data.as_numpy_array()
        axes = axes_of(array.shape, self.axes)
        quality: dict[str, Any] = {}
        if self.ladder_index is not None:
            quality["ladder_index"] = self.ladder_index
        elif self.bytes_per_vector is not None:
            quality["bytes_per_vector"] = self.bytes_per_vector
        fill = float(chunk_spec.fill_value)
        data = pack(
            np.ascontiguousarray(array).reshape(array.shape[array.ndim - len(axes) :]),
            packages.named(self.package, self.codec_id, self.folder),
            axes=axes,
            nodata=fill,
            target_bytes=self.record_bytes,
            **quality,
        )
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        data = chunk_data.to_bytes()
        found = read_whole(data)
        if found is not None:
            about = checked(found[0], chunk_spec, self.axes, self.codec_id)
        try:
            if found is None:  # damaged, or written by another program
                file = read_bytes(data)
                about = checked(file.header, chunk_spec, self.axes, self.codec_id)
                file.check_whole()
                found = file.header, list(file.records)
            header, records = found
            decoder = TileDecoder.of(packages.named(self.package, self.codec_id, self.folder), header)
            sink = decode_tiles(decoder, about, np.arange(header.n_tiles), records)
        except Corrupt as error:
            error.fix = "restore the chunk, or save what is left of it with codec.arrays.unpack"
            raise
        return self._buffer(sink.values, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    # Parts of chunks

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        """Tokens of a selection: index and seal first, then the records of the tiles that it touches, and no more."""
        wanted = touched(selection, chunk_spec.shape)
        if all(len(w) == n for w, n in zip(wanted, chunk_spec.shape, strict=True)):
            whole = await byte_getter.get(chunk_spec.prototype)
            return None if whole is None else (await self._decode_single(whole, chunk_spec))[selection]
        tail = await byte_getter.get(chunk_spec.prototype, SuffixByteRequest(TAIL_BYTES))
        if tail is None:
            return None
        end = read_end(tail.to_bytes())
        if end is None:  # damaged, or written by another program: the scan of a whole file judges it
            whole = await byte_getter.get(chunk_spec.prototype)
            return None if whole is None else (await self._decode_single(whole, chunk_spec))[selection]
        source = Pieces(byte_getter, chunk_spec, end.size - len(tail), tail.to_bytes())
        head = await source.get(0, min(MAX_HEADER, end.first_record))
        return await self._part(source, head, end, wanted, selection, chunk_spec)

    async def _part(
        self,
        source: Pieces,
        head: bytes,
        end: ChunkEnd,
        wanted: tuple[IntArray, ...],
        selection: Any,
        chunk_spec: ArraySpec,
    ) -> NDBuffer:
        header, _ = FileHeader.decode(head)
        about = checked(header, chunk_spec, self.axes, self.codec_id)
        axes = axes_of(chunk_spec.shape, self.axes)
        tokens = tuple(
            numbers
            for numbers, axis in zip(wanted[len(chunk_spec.shape) - len(axes) :], axes, strict=True)
            if axis != "c"
        )
        spec = header.planes[0]
        tiles = tiles_of(about, spec.rows, spec.cols, tokens)
        chosen = end.places.touching(0, tiles)
        records = await source.records(end.places, chosen)
        decoder = TileDecoder.of(packages.named(self.package, self.codec_id, self.folder), header)
        sink = await asyncio.to_thread(decode_tiles, decoder, about, tiles, records)
        return self._buffer(sink.values, chunk_spec)[selection]

    def _buffer(self, values: np.ndarray, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        return chunk_spec.prototype.nd_buffer.from_numpy_array(
            values.astype(dtype, copy=False).reshape(chunk_spec.shape)
        )
