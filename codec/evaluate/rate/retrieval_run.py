"""Retrieval by every method: the decoded bytes of NAIP's tiles, ranked; scored once and kept on disk.

    tiles ──method──▶ bytes ──▶ decoded tokens ──mean──▶ vectors ──cosine──▶ recall, mAP, overlap of each query

Queries and archive are decoded alike. Codecs are fitted on training tiles: those of the other sets, and NAIP's own training
columns; a column that is searched is never among them. The exact ranking is that of the uncompressed embedding of all bands,
for pixel methods too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.evaluate.rate import store
from codec.evaluate.rate.digests import of_code
from codec.evaluate.rate.plane_encoder import PlaneEncoder
from codec.evaluate.rate.protocol import HELD_OUT
from codec.evaluate.rate.retrieval import (
    Neighbours,
    Scores,
    Visits,
    average_precision_at,
    exact_neighbours,
    naip_years,
    overlap_at,
    recall_across_years,
    vectors,
)
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rate.types import Planes
from codec.heads.regimes import UNCOMPRESSED
from codec.types import FloatArray

SET, TRAINING = "naip", "naip-train"
RECALLS = {"recall@1": 1, "recall@5": 5}
K = 10  # of mAP@k and overlap@k
PRECISION, OVERLAP = f"mAP@{K}", f"overlap@{K}"
MEASURES = (*RECALLS, PRECISION, OVERLAP)
VIEW, EXACT = "tokens", "ranking"  # of the stored answers: what was ranked; no head was trained
_CODE = ("codec.evaluate.rate.retrieval", "codec.evaluate.rate.retrieval_run")


@dataclass(frozen=True)
class Task:
    """What is searched, and what a search should find."""

    visits: Visits
    neighbours: Neighbours

    def scores(self, x: FloatArray) -> dict[str, Scores]:
        """Every measure of vectors N×C, one number per tile."""
        recalls = {name: recall_across_years(x, self.visits, k) for name, k in RECALLS.items()}
        return {
            **recalls,
            PRECISION: average_precision_at(self.neighbours, x),
            OVERLAP: overlap_at(self.neighbours, x),
        }


class RetrievalRun:
    """One encoder's retrieval; `score` fills in one method."""

    def __init__(
        self,
        encoder: PlaneEncoder,
        data: Path,
        bands: tuple[str, ...],
        sets: Mapping[str, Evidence],
        out: Path,
        split: str = "unseen",
    ) -> None:
        """`sets`: what codecs may be fitted on, by its training tiles. `split`: whose columns are searched."""
        visits = naip_years(data, bands, HELD_OUT[split])
        train = naip_years(data, bands, ("train",)).tiles
        mine = {
            SET: Evidence(visits.tiles, (), np.repeat("test", len(visits.tiles))),
            TRAINING: Evidence(replace(train, name=TRAINING), (), np.repeat("train", len(train))),
        }
        self.run = Run(encoder, {**sets, **mine}, out, Setting(split=split))
        exact = vectors(self.run.planes(SET))
        # Other years of a query's own place are what recall asks for; here they would fill the list for free.
        self.task = Task(visits, exact_neighbours(exact, visits.tiles.groups, K, beyond_group=True))
        self.reference = self.task.scores(exact)

    def score(self, entry: Entry) -> store.Scored:
        """Every measure of a method at every setting; from disk where it is there. As `Run.score` where it fails."""
        path = self.run.path(f"{SET}-{self.run.setting.split}", entry.name)
        origin = {**self.run.origin(SET, entry), "retrieval": of_code(_CODE)[:16]}
        if path.exists():
            return store.load(path, origin)
        seen = self.run.seen(SET, entry)
        validity = self.run.planes(SET).validity
        found = [
            self.reference,
            *(self.task.scores(vectors(Planes(dict(at), validity))) for at in seen.planes),
        ]
        settings = tuple(c.setting for c in seen.coded)
        scored = store.Scored(
            entry.name,
            entry.sends,
            settings,
            np.stack([c.sizes for c in seen.coded]),
            {},
            {key_of(measure): _answers(settings, [at[measure] for at in found]) for measure in MEASURES},
            0.0,  # nobody reads it here
            self.run.planes(SET).elements_per_tile,
        )
        store.save(path, origin, scored)
        return scored


def key_of(measure: str) -> store.Key:
    """Under which a measure is stored."""
    return store.Key(measure, VIEW, EXACT)


def _answers(settings: tuple[str, ...], scores: list[Scores]) -> Answers:
    """One number a query in place of a prediction; what it lacks to 1 is its loss."""
    values = np.stack([s.values for s in scores])[None].astype(np.float32)
    return Answers((UNCOMPRESSED, *settings), values, 1 - values)
