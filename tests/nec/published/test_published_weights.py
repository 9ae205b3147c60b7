"""A published masked autoencoder's file as the start: the same tokens and the same pixels, in other units."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
import torch
from small_nec import needs_compressai, views, written
from torch import Tensor

from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD, RGB_BANDS, S2_NANO_BANDS
from codec.models.foreign import Layout, load_foreign
from codec.models.foreign.layout import parse_layout
from codec.nec.__main__ import main
from codec.nec.encoders import MaeVit
from codec.nec.mae import DecoderShape, MaskedAutoencoder
from codec.nec.patches import choose_visible, tiles_of
from codec.nec.published_weights import take_weights

NAME = "rvsa_millionaid_mae_vit_base"
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of red, green, blue


def autoencoder(bands: tuple[str, ...] = RGB_BANDS) -> MaskedAutoencoder:
    torch.manual_seed(1)
    return MaskedAutoencoder(MaeVit(bands, tile=48, patch=8, width=64, depth=2, heads=2), DecoderShape(32, 1))


def small_layout(of: MaskedAutoencoder) -> Layout:
    """The published layout with two blocks and one, in the sizes of a small autoencoder."""
    data = json.loads((resources.files("codec.models") / "layouts" / f"{NAME}.json").read_text())
    keys = {}
    for key in data["keys"]:
        blocks = 1 if key.startswith("decoder") else 2
        short = re.sub(r"\{0\.\.\d+\}", f"{{0..{blocks - 1}}}", key)
        one = re.sub(r"\{0\.\.\d+\}", "0", key)
        for theirs, ours in data["decoder"]["rename"].items():
            one = ours + one.removeprefix(theirs) if one.startswith(theirs) else one
        keys[short] = list(of.state_dict()[one if one.startswith("decoder.") else f"encoder.{one}"].shape)
    data["keys"], data["heads"] = keys, 2
    data["decoder"] = {**data["decoder"], "heads": 1}
    return parse_layout({**data, "decoder": data["decoder"]})


def written_weights(layout: Layout, path: Path) -> Path:
    generator = torch.Generator().manual_seed(2)
    state = {key: 0.2 * torch.randn(shape, generator=generator) for key, shape in layout.keys.items()}
    torch.save({"model": state}, path)
    return path


def pictures() -> Tensor:
    """Bytes 3×48×48 of two pictures: red, green, blue."""
    return torch.randint(20, 230, (2, 3, 48, 48), generator=torch.Generator().manual_seed(3)).float()


def shown(bytes_: Tensor) -> tuple[Tensor, Tensor]:
    """As the file's own code normalises them, and as reflectance in the order of our bands."""
    theirs = (bytes_ / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
    order = [("red", "green", "blue").index(name) for name in RGB_BANDS]
    return theirs, bytes_[:, order] * 0.3 / 255


def test_tokens_and_pixels_are_those_of_the_file_in_its_own_units(tmp_path: Path) -> None:
    ours = autoencoder()
    layout = small_layout(ours)
    path = written_weights(layout, tmp_path / "weights.pth")
    assert len(take_weights(ours, layout, path)) == 64
    foreign = load_foreign(layout, path, decoder=True)
    theirs, reflectance = shown(pictures())
    tiles = tiles_of(reflectance, torch.ones(2, 3), torch.ones(2, 48, 48), RGB_BANDS, 8)
    keep = choose_visible(2, 36, 0.75, torch.Generator().manual_seed(4))
    with torch.no_grad():
        wanted = foreign.forward_visible(theirs, keep)
        found = ours.of.sequence(tiles, keep)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        patches = foreign.decoder(wanted, keep).reshape(2, 36, 8, 8, 3)
        predicted = ours.decoder(found, keep).reshape(2, 36, 3, 8, 8)
    bytes_ = 255 * (patches * torch.tensor(SPREAD) + torch.tensor(MEAN))
    for index, name in enumerate(RGB_BANDS):
        of = ("red", "green", "blue").index(name)
        back = (predicted[:, :, index] * REFLECTANCE_SPREAD[name] + REFLECTANCE_MEAN[name]) * 255 / 0.3
        torch.testing.assert_close(back, bytes_[..., of], atol=0.02, rtol=1e-4)


def test_weights_of_another_size_or_other_bands_are_refused(tmp_path: Path) -> None:
    layout = small_layout(autoencoder())
    path = written_weights(layout, tmp_path / "weights.pth")
    larger = MaskedAutoencoder(
        MaeVit(RGB_BANDS, tile=48, patch=8, width=96, depth=2, heads=2), DecoderShape(32, 1)
    )
    with pytest.raises(InputError, match="does not fit the encoder"):
        take_weights(larger, layout, path)
    with pytest.raises(InputError, match="does not fit this encoder"):
        take_weights(autoencoder(S2_NANO_BANDS), layout, path)


@needs_compressai
def test_weights_without_their_layout_and_of_another_model_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, path = written(tmp_path / "pool", views()), tmp_path / "weights.pth"
    torch.save({"model": {"cls_token": torch.zeros(1, 1, 768)}}, path)
    common = ["start", "nec-2024", "--fast", "--set", "start.encoder=vit-nano/8@rgb", "--pool", str(pool)]
    common += ["--start-weights", str(tmp_path / "start.pt"), "--weights", str(path)]
    assert main(common) == 2
    assert "belong together" in capsys.readouterr().err
    assert main([*common, "--layout", NAME]) == 3
    assert not (tmp_path / "start.pt").exists()
