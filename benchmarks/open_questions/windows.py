"""Training windows through encoders of several seeds: what package codecs, and priors over their symbols, are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.open_questions.evidence import Bench
from codec.models.weights import load_encoder
from codec.pretrain.fit import embed_training_windows, save_planes
from codec.types import FloatArray


@dataclass(frozen=True)
class Windows:
    """Tokens of the wholly measured training windows of one encoder, in the order of their pictures."""

    encoder: str
    tokens: FloatArray  # N×h×w×C


def windows(bench: Bench, encoder: str) -> Windows:
    """Computed once and kept beside the encoders' runs."""
    path = bench.runs / "questions" / f"windows-{encoder}.npz"
    if not path.is_file():
        planes = embed_training_windows(load_encoder(_weights(bench.runs, encoder)), bench.data, seed=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_planes(path, {name: planes[name] for name in ("tokens", "token_validity")})
    with np.load(path, allow_pickle=False) as archive:
        whole = archive["token_validity"].all(axis=(1, 2))
        return Windows(encoder, archive["tokens"][whole])


def _weights(runs: Path, encoder: str) -> Path:
    return runs / f"{encoder}.safetensors"
