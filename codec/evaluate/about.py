"""What a card says of a package in words: what it was made for and must not be used for. Numbers come from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

_DISTILLED = (
    "Trained by distillation: the student sees a jittered view with some of its bands, the teacher (Galileo nano, MIT "
    "licence, arXiv 2502.09356) saw all of it; targets are the teacher's tokens less their mean per position. The recipe "
    "is `codec/pretrain/recipes/{name}.yaml`. No weight of the teacher is in this model, nor did training start from any."
)
_NEVER = (
    "Radar, thermal or night images; reflectance without the sensor's scale and offset; any decision of consequence "
    "without a test on your own places."
)


@dataclass(frozen=True, slots=True)
class About:
    """One package. `sources` are the data sets of `codec.data.readers` whose windows the card counts."""

    title: str
    training: str
    limits: str
    sources: tuple[str, ...]
    windows: str  # what those windows are called


ABOUT = {
    "s2-nano": About(
        "A small multispectral encoder with its codec and heads",
        _DISTILLED,
        f"{_NEVER} A forgotten +1000 offset of Sentinel-2 ruins it: give the metadata, not raw numbers. Ground sampling far "
        "from 5–30 m except for experiments. It has seen {windows} Sentinel-2 windows, mostly of Europe and of one North "
        "American coast.",
        ("eurosat", "terramind", "sen1floods11", "lahinch", "beaufort"),
        "Sentinel-2",
    ),
    "rgb-small": About(
        "A colour encoder for aerial pictures and RGB cameras, and what adapters to more bands start from",
        _DISTILLED,
        f"{_NEVER} It knows red, green and blue alone: what only the infrared shows, water under glint or stressed "
        "vegetation, it cannot see. It has seen {windows} aerial colour windows, of the United States and of one city.",
        ("ucmerced", "dubai"),
        "aerial colour",
    ),
}
