"""The demo's one table: rows of every scene, for a person and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

READING = (
    "raw bytes: the pixels of the bands used, as the sensor delivers them (1 or 2 bytes each), nothing compressed.",
    "on the link: all packets with their headers and repair symbols, lost ones included; the ratio is against raw bytes.",
    "head agreement: of what arrived, the share where a head decides the same before and after codec and link.",
    "accuracy, macro-F1: every row on the same held-out eastern pixels (those that arrived); all heads are linear, fitted "
    "on the same western pixels, of the kind and strength that do best there by macro-F1. Pixels with their 9×9 context are "
    "the baseline to beat, not pixels alone.",
    "accuracy difference that shows here: half the 95 % interval of decoded minus baseline (bootstrap over 32×32-pixel "
    "blocks); a smaller difference says nothing.",
    "JPEG 2000: the same bands coded at the size nearest to the .nec that it can reach, then the same encoder and head.",
)


@dataclass(slots=True)
class SceneResult:
    """What one scene gave. `rows` are (name, value, unit) in the order they are shown; None: not applicable."""

    name: str
    title: str
    rows: list[tuple[str, object, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    products: str | None = None

    def add(self, name: str, value: object, unit: str = "") -> None:
        self.rows.append((name, value, unit))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All scenes of a run, and the settings that made them."""

    settings: dict[str, object]
    scenes: list[SceneResult]

    def as_json(self) -> dict[str, object]:
        """One document; values keep their full precision."""
        return {
            "settings": self.settings,
            "reading": list(READING),
            "scenes": {
                scene.name: {
                    "title": scene.title,
                    "values": {name: {"value": value, "unit": unit} for name, value, unit in scene.rows},
                    "notes": scene.notes,
                    "pictures": scene.pictures,
                    "products": scene.products,
                }
                for scene in self.scenes
            },
        }

    def render(self) -> str:
        """A table with one column per scene, then notes and where the pictures are."""
        from io import StringIO

        from rich.console import Console
        from rich.table import Table

        names: dict[str, None] = {}
        for scene in self.scenes:
            names.update(dict.fromkeys(name for name, _, _ in scene.rows))
        table = Table(show_edge=False, pad_edge=False)
        table.add_column("", no_wrap=True)
        for scene in self.scenes:
            table.add_column(scene.title, justify="right", max_width=30)
        for name in names:
            cells = []
            for scene in self.scenes:
                found = [(value, unit) for n, value, unit in scene.rows if n == name]
                cells.append(_cell(*found[0]) if found else "-")
            table.add_row(name, *cells)
        out = StringIO()
        Console(file=out, width=120, color_system=None).print(table)
        lines = ["", *READING, ""]
        lines += [f"{scene.name}: {note}" for scene in self.scenes for note in scene.notes]
        lines += [
            f"see {path}" for scene in self.scenes for path in (*scene.pictures, scene.products) if path
        ]
        return out.getvalue() + "\n".join(lines)


def _cell(value: object, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        text = f"{value:.1f}" if abs(value) >= 10 or unit == "%" else f"{value:.2f}"
    else:
        text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{text} {unit}".strip()
