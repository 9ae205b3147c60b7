"""The weights that every method starts from: a pretrained encoder, and a decoder trained to it while it stands still.

Our encoders and Galileo's come without a masked autoencoder's decoder. Training one first, with the encoder frozen, keeps
the recipe's distortion a reconstruction from the first step on, and changes nothing in what the encoder gives.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from codec.atomic import write_atomic
from codec.errors import InputError, InternalError
from codec.nec.encoders import open_masked
from codec.nec.mae import MaskedAutoencoder, masked_error
from codec.nec.patches import choose_visible
from codec.nec.recipe import Recipe, check_same
from codec.nec.samples import Samples
from codec.pretrain.energy import Meter

_SEED = 20_240_317  # of the decoder's weights and batches: one start for every seed of the recipe


def autoencoder_of(recipe: Recipe, root: Path, data: Path | None) -> MaskedAutoencoder:
    """Encoder with its pretrained weights, decoder as initialised."""
    torch.manual_seed(_SEED)
    return MaskedAutoencoder(open_masked(recipe.start.encoder, root=root, data=data))


def cosine(peak: float, step: int, steps: int) -> float:
    """Half a cosine from `peak` to 0, no warm-up: the published schedule."""
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def make_start(
    recipe: Recipe,
    samples: Samples,
    autoencoder: MaskedAutoencoder,
    path: Path,
    tell: Callable[[str], None] = print,
    weights: Callable[[MaskedAutoencoder], str] | None = None,
) -> None:
    """Train the decoder and write `path`; a start of the same recipe, weights and data that is there already is kept.

    `weights` gives the autoencoder those of a file first, and says the file's digest.
    """
    about = start_about(recipe, samples, autoencoder)
    of_file = None if weights is None else weights(autoencoder)
    if path.exists():
        found = _read(path)
        check_same({**about, "weights": of_file}, {**found["about"], "weights": found.get("weights")}, path)
        return
    start, mask = recipe.start, recipe.schedule.mask
    autoencoder.requires_grad_(False)
    autoencoder.decoder.requires_grad_(True)
    optimiser = torch.optim.AdamW(autoencoder.decoder.parameters(), lr=start.decoder_rate, betas=(0.9, 0.95))
    meter, first, losses = Meter(), float("nan"), [0.0]
    for step in range(start.decoder_steps):
        for group in optimiser.param_groups:
            group["lr"] = cosine(start.decoder_rate, step, start.decoder_steps)
        tiles, generator = samples.batch(_SEED, step, start.decoder_batch)
        keep = choose_visible(len(tiles), autoencoder.n_patches, mask, generator)
        with torch.no_grad():
            y = autoencoder.of.sequence(tiles, keep)
        loss = masked_error(autoencoder.decoder(y, keep), tiles, keep)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise InternalError(
                f"the decoder's error is not finite at step {step}", fix="lower start.decoder_rate"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step == 0:
            first = losses[-1]
        if (step + 1) % 200 == 0:
            tell(f"start: step {step + 1}/{start.decoder_steps}, masked error {sum(losses[-200:]) / 200:.4f}")
    recent = losses[-100:]
    state = {
        "about": about,
        "weights": of_file,
        "autoencoder": autoencoder.state_dict(),
        "error": [first, sum(recent) / len(recent)],
        "energy": meter.read().report(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def load_start(recipe: Recipe, samples: Samples, autoencoder: MaskedAutoencoder, path: Path) -> str:
    """Give `autoencoder` the weights of `path`; returns their digest. Refuses a start of another recipe or other data."""
    about = start_about(recipe, samples, autoencoder)
    state = _read(path)
    check_same(about, state["about"], path)
    autoencoder.load_state_dict(state["autoencoder"])
    return digest_of(state["autoencoder"])


def open_start(recipe: Recipe, root: Path, data: Path | None, path: Path) -> MaskedAutoencoder:
    """The autoencoder of a start, whatever data it was made from: what a point was before it was adapted."""
    autoencoder = autoencoder_of(recipe, root, data)
    autoencoder.load_state_dict(_read(path)["autoencoder"])
    return autoencoder.eval().requires_grad_(False)


def start_about(recipe: Recipe, samples: Samples, autoencoder: MaskedAutoencoder) -> dict[str, Any]:
    """What a start depends on."""
    return {
        "start": recipe.start.model_dump(mode="json"),
        "mask": recipe.schedule.mask,
        "data": samples.identity,
        "encoder": digest_of(autoencoder.encoder.state_dict()),
    }


def digest_of(state: dict[str, Any]) -> str:
    """SHA-256 over the tensors of a state, by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not {"about", "autoencoder"} <= state.keys():
            raise ValueError("no start")
    except FileNotFoundError:
        raise InputError("there is no start", path=path, fix="python -m codec.nec start makes it") from None
    except Exception as error:
        raise InputError(f"not a start of this room ({type(error).__name__})", path=path) from error
    return dict(state)
