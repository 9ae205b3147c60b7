"""A suite over one encoder: every method on every set, side by side, then everything that is said of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from codec.errors import InputError, InternalError
from codec.evaluate.rate.asked_rows import asked_rows
from codec.evaluate.rate.opened import opened
from codec.evaluate.rate.own_folder import OwnFolder
from codec.evaluate.rate.own_set import own_evidence
from codec.evaluate.rate.pixels import PixelRival
from codec.evaluate.rate.report import REFERENCE, Question, error_rows, scored_rows
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import read
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.suite import Suite, entries, sendable
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rate.workers import side_by_side
from codec.evaluate.rows import Row


@dataclass(frozen=True)
class Work:
    """What every process of a run holds."""

    run: Run
    methods: Mapping[str, Entry]  # by name
    sets: tuple[str, ...]  # that are scored; codecs may be fitted on others

    @property
    def pieces(self) -> list[tuple[str, str]]:
        """(set, method): each is scored by itself."""
        return [(s, m) for s in self.sets for m, entry in self.methods.items() if self._differs(s, entry)]

    def _differs(self, name: str, entry: Entry) -> bool:
        """False for scene-coded pixels of lone tiles, which are the same as tile by tile."""
        tiles = self.run.sets[name].tiles
        joined = isinstance(entry.method, PixelRival) and entry.method.joined
        return not joined or len(np.unique(tiles.scene)) < len(tiles)


@dataclass(frozen=True)
class Report:
    """What is written: under which suite, which curves point by point, and pictures where there is a folder for them."""

    suite: str
    encoder: str
    curves: tuple[str, ...] | None  # methods; None: all
    plots: Path | None = None
    plotted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a run gave."""

    rows: list[Row]
    refused: tuple[str, ...]  # set, method and why
    sets: tuple[str, ...]  # that were scored


def prepared(
    suite: Suite,
    encoder: str,
    data: Path,
    out: Path,
    setting: Setting,
    sets: Sequence[str] = (),
    methods: Sequence[str] = (),
    own: OwnFolder | None = None,
) -> Work:
    """Sets, encoder and methods of a run.

    `encoder`: a package, a file or another name of `codec.evaluate.rate.encoders`; `own`: a folder that is no part of the
    collection takes the place of the suite's sets. Raises InputError for a set or method that the suite does not have.
    """
    of = opened(encoder, data)
    if own is None:
        evidence = read(suite.sets, data, of.bands)
    else:
        evidence = {own.name: own_evidence(own, of.bands if of.tied else None, out, setting.split)}
        suite = sendable(suite, evidence[own.name])
    if unknown := [name for name in sets if name not in evidence]:
        raise InputError(f"the suite has no set {unknown[0]!r}", expected=", ".join(evidence))
    known = {entry.name: entry for entry in entries(suite, of.package, methods)}
    return Work(Run(of.encoder, evidence, out, setting), known, tuple(sets) or tuple(evidence))


def run(prepare: Callable[[], Work], report: Report, processes: int = 1) -> Outcome:
    """Score what is not on disk, then report. Progress goes to stderr; `prepare`, picklable, is `prepared` of a run.

    A method whose answers the audit refuses is listed, and the rest goes on.
    """
    work = prepare()
    todo = [(s, m) for s, m in work.pieces if not work.run.is_scored(s, work.methods[m])]
    for name in work.run.sets if todo else ():
        work.run.planes(name)  # once, into the cache, before everybody wants them
    refused: dict[tuple[str, str], str] = {}
    began = time.monotonic()
    for number, (piece, why) in enumerate(side_by_side(todo, _score, work, prepare, processes), 1):
        if why:
            refused[piece] = why
        left = (time.monotonic() - began) / number * (len(todo) - number)
        print(
            f"{number}/{len(todo)} {', '.join(piece)}; {left:.0f} s left to score",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    for name in work.sets:
        if why := refused.get((name, REFERENCE), ""):
            raise InternalError(why)  # without it nothing can be compared
    asked = [(name, target.name) for name in work.sets for target in work.run.sets[name].targets]
    made = {}
    tell = partial(_question, tuple(refused), report)
    for piece, rows in side_by_side(asked, tell, work, prepare, processes):
        print(f"reported {', '.join(piece)}", file=sys.stderr, flush=True)
        made[piece] = rows
    found: list[Row] = []
    if len(todo) == len(work.pieces):  # a run that went on says nothing of the time
        took, threads = time.monotonic() - began, f"s, {processes} processes, embeddings made before"
        found.append(Row(report.suite, report.encoder, "wall", took, unit=threads, n=len(todo)))
    for name in work.sets:
        of = work.run.sets[name]
        found += scored_rows(report.encoder, of, work.run.setting, report.suite)
        scored = _scored(work, name, tuple(refused))
        found += error_rows(report.encoder, of, work.run.setting, scored, report.suite)
        found += [row for target in of.targets for row in made[name, target.name]]
    return Outcome(found, tuple(refused.values()), work.sets)


def _score(work: Work, piece: tuple[str, str]) -> str:
    """Leaves the answers on disk; what the audit refused, or nothing."""
    try:
        work.run.score(piece[0], work.methods[piece[1]])
    except InternalError as error:
        return f"{piece[0]}: {error}"
    return ""


def _scored(work: Work, name: str, refused: Sequence[tuple[str, str]]) -> dict[str, Scored]:
    here = [m for s, m in work.pieces if s == name and (s, m) not in refused]
    return {method: work.run.score(name, work.methods[method]) for method in here}


def _question(
    refused: Sequence[tuple[str, str]], report: Report, work: Work, piece: tuple[str, str]
) -> list[Row]:
    name, target = piece
    evidence: Evidence = work.run.sets[name]
    of = next(t for t in evidence.targets if t.name == target)
    scored = _scored(work, name, refused)
    question = Question(report.encoder, evidence, of, scored, report.suite, curves=report.curves)
    rows = [*question.rows(), *asked_rows(question)]
    if report.plots:
        for regime in work.run.setting.regimes:
            question.plot(report.plots, regime, report.plotted)
    return rows
