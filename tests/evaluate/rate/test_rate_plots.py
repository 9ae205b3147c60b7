"""Pictures are drawn from lines, whole, and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec.errors import InputError
from codec.evaluate.rate.plots import Line, draw

pytest.importorskip("matplotlib")


def line(label: str, sends: str = "embedding", shift: float = 0.0) -> Line:
    value = np.array([0.5, 0.7, 0.8]) + shift
    return Line(label, sends, np.array([10.0, 100.0, 1000.0]), value, value - 0.05, value + 0.05)


def test_a_picture_is_written_whole_and_equal_lines_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(
            tmp_path / name, [line("ours"), line("jpeg2000", "pixels", -0.1)],
            title="made", utility="accuracy", reference=0.85, km2_per_tile=0.4096,
        )  # fmt: skip
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.width > 600
        assert len(image.getcolors(1 << 16) or ()) > 8  # not an empty sheet
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_the_order_of_rates_does_not_matter(tmp_path: Path) -> None:
    one = line("ours")
    turned = Line(
        "ours", "embedding", one.bytes_per_tile[::-1], one.value[::-1], one.low[::-1], one.high[::-1]
    )
    for name, of in (("a.png", one), ("b.png", turned)):
        draw(tmp_path / name, [of], title="made", utility="accuracy")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        draw(tmp_path / "a.png", [], title="made", utility="accuracy")
    assert not list(tmp_path.iterdir())
