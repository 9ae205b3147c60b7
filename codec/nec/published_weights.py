"""Starting weights from a published masked autoencoder's file, its decoder among them.

The files were trained on pictures in units of their own (ImageNet's mean and spread of full-scale bytes, bands red, green,
blue), ours are shown reflectance by band name. Both are affine in the bytes of a camera, so the difference is taken into the
first and the last matrix, once: with x the file's unit and z ours, x = a·z + b for each band, exactly.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.foreign import Layout, load_foreign
from codec.nec.encoders import MaeVit
from codec.nec.mae import MaskedAutoencoder
from codec.scene.sensors import sensor

_UNIT = "1 = full scale of 8 bit"
_FULL_SCALE = 255


def take_weights(autoencoder: MaskedAutoencoder, layout: str | Layout, path: Path) -> str:
    """Replace all weights of `autoencoder`; returns the digest of the file.

    Raises InputError for a file that does not fit the layout (naming the first tensor), a layout without decoder or of
    another unit, and an autoencoder of another size or other bands.
    """
    foreign = load_foreign(layout, path, decoder=True)
    of, said, encoder = foreign.layout, foreign.layout.input, autoencoder.of
    if not isinstance(encoder, MaeVit) or set(encoder.names) != set(of.bands) or said.get("unit") != _UNIT:
        raise InputError(
            f"layout {of.name} does not fit this encoder",
            path=path,
            expected=f"a ViT with class token and bands {', '.join(of.bands)}",
            found=", ".join(encoder.names),
            fix="--set start.encoder=vit-B/16@rgb, say",
        )
    own = autoencoder.state_dict()
    state = {k if k.startswith("decoder.") else f"encoder.{k}": v for k, v in foreign.state_dict().items()}
    a, b = _units(of, encoder.names)
    order = [of.bands.index(name) for name in encoder.names]
    _into_stem(state, a, b, order)
    _out_of_prediction(state, a, b, order, encoder.patch)
    for name in sorted(own.keys() | state.keys()):
        there = [tuple(of[name].shape) if name in of else None for of in (own, state)]
        if there[0] != there[1]:
            raise InputError(
                f"the file's {name} does not fit the encoder",
                path=path,
                expected=there[0],
                found=there[1],
                fix="choose the start.encoder that the file was trained as",
            )
    autoencoder.load_state_dict(state)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _units(layout: Layout, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """a and b of x = a·z + b for each of our bands."""
    (scaling,) = (s for s in sensor("rgb").scalings if "uint8" in s.dtypes)
    scale = scaling.gain * _FULL_SCALE  # reflectance of a full-scale byte
    index = [layout.bands.index(name) for name in names]
    mean, spread = (torch.tensor(layout.input[key], dtype=torch.float64)[index] for key in ("mean", "std"))
    ours = torch.tensor([REFLECTANCE_MEAN[name] for name in names], dtype=torch.float64)
    width = torch.tensor([REFLECTANCE_SPREAD[name] for name in names], dtype=torch.float64)
    return width / (scale * spread), ((ours - scaling.offset) / scale - mean) / spread


def _into_stem(state: dict[str, Tensor], a: Tensor, b: Tensor, order: list[int]) -> None:
    """W·(a·z + b) + c = (W·a)·z + (W·b + c)."""
    name = "encoder.patch_embed.proj"
    weight, bias = state[f"{name}.weight"].double()[:, order], state[f"{name}.bias"].double()
    state[f"{name}.bias"] = (bias + torch.einsum("dbpq,b->d", weight, b)).float()
    state[f"{name}.weight"] = (weight * a[:, None, None]).float()


def _out_of_prediction(state: dict[str, Tensor], a: Tensor, b: Tensor, order: list[int], patch: int) -> None:
    """z = (x − b) / a; a patch's numbers are row, column, band in the file, and band, row, column here."""
    name = "decoder.pred"
    weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
    weight = weight.reshape(patch, patch, len(order), -1).permute(2, 0, 1, 3)[order]
    bias = bias.reshape(patch, patch, len(order)).permute(2, 0, 1)[order]
    state[f"{name}.weight"] = (weight / a[:, None, None, None]).flatten(0, 2).float()
    state[f"{name}.bias"] = ((bias - b[:, None, None]) / a[:, None, None]).flatten().float()
