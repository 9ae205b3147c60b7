"""One stream of many prefixes against streams made for each rate, in real record bytes, on places no training saw.

    python -m benchmarks.stream --data ../shared/data

The stream is the codec fitted with refining planes (bitstream §8.4), one file of which the first records arrive. A stream
made for a rate is the codec fitted without, at the ladder index that has the same squared error; between two indices its
bytes are interpolated in both logarithms. Two questions: what heads on mean tokens see (prefixes of layer 0 and its digits
against layer 0 alone, error of the tile mean), and what dense heads see (all prefixes against whole files, error of the
tokens). Both codecs are fitted on the same training windows (runs/train_embeddings.npz, made by `python -m codec.pretrain
fit-codec --keep`). Besides: what one set of tables for all rates costs over tables fitted for one ladder index.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.prefixes import DRAWS, FloatVector, IntArray, Point, bytes_at
from benchmarks.results import Row, save
from codec.bitstream import coefficients
from codec.errors import InputError, InternalError, SwathpackError
from codec.evaluate.intervals import bootstrap
from codec.evaluate.rate.curve_intervals import Bootstrap, utility_intervals
from codec.evaluate.rate.embedding.base import BASE, BASE_MEAN
from codec.evaluate.rate.embedding.records import RecordCoder, shared_by_cost
from codec.evaluate.rate.embedding.sent import sizes
from codec.evaluate.rate.embedding.stream import LAYOUT, STREAM
from codec.evaluate.rate.opened import opened
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import MULTISPECTRAL, read
from codec.evaluate.rate.utility import Judge
from codec.pipeline.digits import place_in_prefix
from codec.transform import digits
from codec.transform import fit as fitting
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import STREAM_BASE_BYTES, PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.rate import choose_ladder_index
from codec.types import FloatArray, SymbolArray, Symbols

SUITE = "stream"
# As packages are fitted; and with the mean as fine against the rest as the stream has it behind the first digit of the mean.
DIRECT = {"shipped layout": PlaneLayout(), "its own mean": PlaneLayout(dc_shift=-9)}
EQUAL_BYTES = {"tile": (20, 28), "token": (40, 64, 128, 256, 512, 1024)}
RATES = (24, 40, 80, 160, 320, 640, 1280)  # bytes at which tables for one rate are fitted


@dataclass(frozen=True)
class Prefix:
    """What the ground has after the records up to some layer of some plane."""

    name: str
    is_mean: bool  # layer 0 and digits of it, nothing else
    bytes: FloatVector  # N
    tokens: FloatVector  # N, squared error of the tokens
    mean: FloatVector  # N, the same of the tile mean, scaled to its energy among the tokens


def errors(found: FloatArray, latents: FloatArray) -> tuple[FloatVector, FloatVector]:
    """Squared error of each tile, of its tokens and of its mean, from latents N×C×F."""
    square = np.square(found.astype(np.float64) - latents)
    return square.sum(axis=(1, 2)), square[:, :, 0].sum(axis=1)


def layer_bytes(coder: RecordCoder, plane: int, index: int, symbols: SymbolArray) -> dict[int, FloatVector]:
    """Bytes of each tile in each layer, whole records shared by cost; what was coded is decoded and compared."""
    rows, cols = coder.tables.planes[plane].rows, coder.tables.planes[plane].cols
    valid = np.ones((len(symbols), rows, cols), dtype=bool)
    header = coder.header(len(symbols), index)
    records = coefficients.encode_plane(coder.parsed, header, plane, Symbols(plane, symbols, valid))
    found = coder.decode([r.data for r in records], len(symbols), ladder_index=index)
    if not np.array_equal(found.planes[plane].values, symbols):
        raise InternalError("the decoded symbols differ from those that were coded")
    n_layers = len(coder.tables.planes[plane].layer_shift)
    return {
        layer: sizes(
            shared_by_cost(
                coder.parsed, [r for r in records if r.header.layer == layer], plane, index, symbols
            ),
            len(symbols),
        )
        for layer in range(n_layers)
    }


def prefixes(codec: FittedCodec, latents: FloatArray) -> list[Prefix]:
    """Every prefix of one stream, in the order of its records."""
    index, coder = codec.default_ladder_index, RecordCoder.of(codec.tables)
    maps = [quant_maps(codec.tables, plane, index) for plane in range(1 + len(codec.refining))]
    symbols = digits.quantise(latents, maps)
    each = [layer_bytes(coder, plane, index, one) for plane, one in enumerate(symbols)]
    order = sorted(
        (
            (depth, layer)
            for depth, layers in enumerate(each)
            for layer in layers
            if (codec.tables.planes[depth].layer_map == layer).any()  # nothing is sent for an empty one
        ),
        key=lambda at: place_in_prefix(*at),
    )
    arrived = [np.zeros(len(latents), dtype=np.uint16) for _ in symbols]
    sent, result, is_mean = np.zeros(len(latents)), [], True
    for depth, layer in order:
        arrived[depth] |= np.uint16(1 << layer)
        sent = sent + each[depth][layer]
        is_mean &= layer == 0
        tokens, mean = errors(digits.reconstructed(symbols, arrived, maps), latents)
        name = f"L{layer}" + (f" digit {depth}" if depth else "")
        result.append(Prefix(name, is_mean, sent, tokens, mean))
    return result


def made_for_rates(codec: FittedCodec, latents: FloatArray) -> tuple[list[Point], list[Point]]:
    """Whole files with the error of the tokens, and layer 0 alone with that of the mean, at every ladder index."""
    coder, whole, alone = RecordCoder.of(codec.tables), [], []
    for index in codec.tables.usable_indices():
        maps = quant_maps(codec.tables, 0, index)
        symbols = maps.quantise(latents)
        each = layer_bytes(coder, 0, index, symbols)
        tokens, mean = errors(maps.reconstruct(symbols), latents)
        whole.append(Point(np.sum(list(each.values()), axis=0), tokens))
        alone.append(Point(each[0], mean))
    return whole, alone


def overhead(
    sent: FloatVector, error: FloatVector, curves: list[list[Point]], draws: list[IntArray]
) -> tuple[float, float | None, float | None]:
    """Percent more bytes than the cheapest of the curves at equal error, with the interval over places."""

    def more(tiles: IntArray) -> float:
        made = [bytes_at(curve, float(error[tiles].mean()), tiles) for curve in curves]
        known = [b for b in made if np.isfinite(b)]
        return 100 * (float(sent[tiles].mean()) / min(known) - 1) if known else float("nan")

    over = [more(tiles) for tiles in draws]
    if np.isnan(over).all():
        return float("nan"), None, None
    low, high = np.nanpercentile(over, (2.5, 97.5))
    return more(np.arange(len(sent))), float(low), float(high)


def rows(
    case: str, stream: FittedCodec, direct: dict[str, FittedCodec], tokens: FloatArray, groups: IntArray
) -> Iterator[Row]:
    """Rows of one set of tiles N×h×w×C."""
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng = np.random.default_rng(0)
    draws = [
        np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        for _ in range(DRAWS)
    ]
    latents = stream.transforms["tokens"].analyse(tokens)
    energy = [float(e.mean()) for e in errors(np.zeros_like(latents), latents)]
    made = {name: made_for_rates(codec, latents) for name, codec in direct.items()}
    alones = [alone for _, alone in made.values()]
    unit, n = "% [95% bootstrap over places]", len(tokens)
    for number, prefix in enumerate(prefixes(stream, latents), 1):
        at = f"{case}/prefix {number}: {prefix.name}"
        yield Row(SUITE, at, "bytes", float(prefix.bytes.mean()), unit="B/tile", n=n)
        yield Row(
            SUITE,
            at,
            "relative MSE of tokens",
            float(prefix.tokens.mean()) / energy[0],
            unit="of variance",
            n=n,
        )
        yield Row(
            SUITE,
            at,
            "relative MSE of the mean",
            float(prefix.mean.mean()) / energy[1],
            unit="of variance",
            n=n,
        )
        if prefix.is_mean:
            found = overhead(prefix.bytes, prefix.mean, alones, draws)
            if np.isfinite(found[0]):
                yield Row(
                    SUITE, at, "more bytes for mean tokens", *found, unit, "layer 0 made for the rate", n
                )
        else:
            for name, (whole, _) in made.items():
                found = overhead(prefix.bytes, prefix.tokens, [whole], draws)
                if np.isfinite(found[0]):
                    yield Row(
                        SUITE, at, "more bytes for tokens", *found, unit, f"made for the rate, {name}", n
                    )


def rates_rows(
    case: str, codec: FittedCodec, train: FloatArray, tokens: FloatArray, groups: IntArray
) -> Iterator[Row]:
    """One set of tables for all rates against tables and points fitted at one ladder index; equal maps and steps."""
    transform, plane = codec.transforms["tokens"], codec.tables.planes[0]
    latents, fitted_on = transform.analyse(tokens), transform.analyse(train[:: -(-len(train) // 2048)])
    cells = fitting._cells(plane, fitted_on, codec.tables.ladder)
    usable = codec.tables.usable_indices()
    for budget in RATES:
        index = choose_ladder_index(usable, codec.mean_bytes.__getitem__, float(budget))
        own = replace(codec.tables, levels=fitting._fit_levels(cells, range(index, index + 1)))
        sent, error = [], []
        for tables in (codec.tables, own):
            maps = quant_maps(tables, 0, index)
            symbols = maps.quantise(latents)
            parts = layer_bytes(RecordCoder.of(tables), 0, index, symbols)
            sent.append(np.sum(list(parts.values()), axis=0))
            error.append(float(errors(maps.reconstruct(symbols), latents)[0].mean()))
        members = np.unique(groups, return_inverse=True)[1]
        sums = [np.stack([np.bincount(members, b), np.bincount(members)], axis=-1)[None] for b in sent]
        ratio = bootstrap(
            np.concatenate([sums[0], sums[1]], axis=-1),
            statistic=lambda s: 100 * (s[..., 0] / s[..., 2] - 1),
            draws=DRAWS,
        )
        at, unit = f"{case}/tables at {budget} B", "% [95% bootstrap over places]"
        yield Row(SUITE, at, "bytes", float(sent[0].mean()), unit="B/tile", n=len(tokens))
        yield Row(
            SUITE,
            at,
            "more bytes",
            ratio.value,
            ratio.low,
            ratio.high,
            unit,
            "tables for this rate",
            len(tokens),
        )
        yield Row(
            SUITE,
            at,
            "more error",
            100 * (error[0] / error[1] - 1),
            unit="%",
            rival="tables for this rate",
            n=len(tokens),
        )


def score_rows(run: Run, name: str, case: str) -> Iterator[Row]:
    """What heads lose at equal bytes: the stream against the base made for each rate, both fitted by the harness.

    Tasks on tiles see mean tokens and meet layer 0 alone as the rival, tasks on tokens whole files.
    """
    evidence = run.sets[name]
    own = run.score(name, Entry(STREAM))
    rivals = {
        level: run.score(name, Entry(method)) for level, method in (("tile", BASE_MEAN), ("token", BASE))
    }
    for target in evidence.targets:
        rival = rivals.get(target.level)
        if rival is None:
            continue
        view = "tokens" if target.level == "token" else "tokens mean"
        judge = Judge.of_target(evidence, target, own, view)
        how = replace(Bootstrap(), draws=DRAWS, statistic=judge.statistic("score"))
        for key in own.answers:
            if (key.target, key.view) != (target.name, view) or key not in rival.answers:
                continue
            ours, theirs = (judge.measured(scored, key, "score") for scored in (own, rival))
            found = utility_intervals(ours, theirs, EQUAL_BYTES[target.level], how)
            for size, gain in zip(EQUAL_BYTES[target.level], found, strict=True):
                if np.isfinite((gain.value, gain.low, gain.high)).all():
                    yield Row(
                        SUITE, f"{case}/{target.name}/{view}/{key.regime}",
                        f"{judge.name('score')}-difference at {size} B", gain.value, gain.low, gain.high,
                        f"{judge.unit('score')} [95% interval]", rival.method,
                    )  # fmt: skip


def training(path: Path) -> FloatArray:
    """Wholly measured training windows."""
    if not path.is_file():
        raise InputError(
            "no training embeddings", path=path, fix="python -m codec.pretrain fit-codec --keep FILE"
        )
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive["tokens"][archive["token_validity"].all(axis=(1, 2))])


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/stream.csv."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--package", default="s2-nano", help="package whose encoder makes the embeddings")
    parser.add_argument("--train", type=Path, default=Path("runs/train_embeddings.npz"))
    parser.add_argument("--sets", nargs="*", default=MULTISPECTRAL)
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument(
        "--scores", action="store_true", help="also train heads on prefixes and compare scores"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/nec"), help="folder of cached embeddings")
    options = parser.parse_args(arguments)
    try:
        train = training(options.train)
        stream = fit_planes({"tokens": train}, layouts={"tokens": LAYOUT}, default_bytes=STREAM_BASE_BYTES)
        direct = {
            name: fit_planes({"tokens": train}, layouts={"tokens": layout}) for name, layout in DIRECT.items()
        }
        of, setting = opened(options.package, options.data), Setting(options.split)
        run = Run(of.encoder, read(options.sets, options.data, of.bands), options.out, setting)
        measured: list[Row] = []
        for name in options.sets:
            evidence, planes = run.sets[name], run.planes(name)
            held = np.any([fold.held for fold in setting.folds(evidence)], axis=0)
            held &= planes.validity.all(axis=(1, 2))
            case = f"stream/{of.name}/{name}/{options.split}"
            tokens, groups = planes.values["tokens"][held], evidence.tiles.groups[held]
            measured += rows(case, stream, direct, tokens, groups)
            if options.scores:
                measured += score_rows(run, name, case)
            measured += rates_rows(case, direct["shipped layout"], train, tokens, groups)
        for row in measured:
            between = "" if row.lo is None else f" [{row.lo:.1f}, {row.hi:.1f}]"
            print(f"{row.case:52} {row.metric:28} {row.value:9.4g}{between} {row.rival}")
        for path in save(measured, packages=("swathpack", "numpy", "torch")):
            print(path)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
