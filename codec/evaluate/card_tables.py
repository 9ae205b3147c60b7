"""The tables of a model card: measured rows of one model, by protocol, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codec.evaluate.rows import Row

Found = Mapping[tuple[str, str, str], Row]  # (case, metric, rival)
_SPLITS = {"val": "val", "unseen": "unseen (val and test, once)", "test": "test, once"}
_TITLES = {"probe-accuracy": "linear", "knn10-accuracy": "10 nearest"}


def _cell(row: Row | None, digits: int = 1) -> str:
    if row is None:
        return "–"
    text = f"{row.value:.{digits}f}"
    return text if row.lo is None or row.hi is None else f"{text} [{row.lo:.{digits}f}, {row.hi:.{digits}f}]"


def _features(name: str) -> dict[str, str]:
    """Feature as the rows call it → as the table does, in the order of the table."""
    return {
        "pixel-statistics": "pixel statistics",
        "pixel-spectra": "pixel spectra",
        "pixels-with-context": "pixels with context",
        "random-convolutions": "random convolutions",
        f"{name}-twin": "random twin",
        "teacher": "teacher",
        name: f"**{name}**",
        f"{name}+spectral": f"{name} with its spectral plane",
        f"{name}+pixels": f"{name} ‖ pixels",
    }


def _table(
    found: Found, name: str, columns: Mapping[str, tuple[str, str]], rivals: Sequence[str], suffix: str = ""
) -> list[str]:
    """One table; `columns`: heading → (place, metric). Features, then the model less each rival; empty lines left out."""
    lines = []
    for feature, title in _features(name).items():
        cells = [found.get((f"{place}/{feature}", metric, "")) for place, metric in columns.values()]
        if any(cells):
            lines.append(f"| {title}{suffix} | {' | '.join(_cell(c) for c in cells)} |")
    for rival in rivals:
        cells = [
            found.get((f"{place}/{name}", f"{metric}-difference", rival))
            for place, metric in columns.values()
        ]
        if any(cells):
            smallest = [
                found.get((f"{place}/{name}", f"{metric}-smallest-difference", rival))
                for place, metric in columns.values()
            ]
            texts = [
                _cell(c) + (f" ±{s.value:.1f}" if s else "") for c, s in zip(cells, smallest, strict=True)
            ]
            lines.append(f"| {name} − {rival}{suffix}, paired | {' | '.join(texts)} |")
    return lines


def _titled(title: str, columns: Sequence[str], lines: Sequence[str], note: str = "") -> str:
    if not lines:
        return ""
    head = [f"\n### {title}\n"] + ([f"{note}\n"] if note else [])
    return (
        "\n".join([*head, f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|", *lines]) + "\n"
    )


def _n(rows: Sequence[Row], place: str) -> str:
    found = {row.n for row in rows if row.case.startswith(f"{place}/") and row.n}
    return f"{max(found)} tiles" if found else ""


def _eurosat(rows: Sequence[Row], found: Found, name: str, split: str) -> str:
    place = f"eurosat-{split}"
    bands = sorted(
        {r.case.split("/")[1] for r in rows if r.case.startswith(f"{place}/") and r.case.split("/")[1].endswith("-bands")
         and r.case.split("/")[1][0].isdigit()},
        key=lambda case: -int(case.split("-")[0]),
    )  # fmt: skip
    rivals = ("pixel-statistics", "random-twin", "random-convolutions", "teacher")
    lines = []
    for metric, title in _TITLES.items():
        columns = {case: (f"{place}/{case}", metric) for case in bands}
        lines += _table(found, name, columns, (*rivals, "12-bands"), f", {title}")
    out = _titled(f"EuroSAT {_SPLITS[split]} ({_n(rows, place)}), fitted on train; %", bands, lines)
    few = {
        f"{k} label{'s' * (k > 1)} a class, {case}": (f"{place}/{case}", f"{k}-label-accuracy")
        for case in ("12-bands", "3-bands")
        for k in (1, 5)
        if case in bands
    }
    out += _titled(f"EuroSAT {_SPLITS[split]}, few labels; %", list(few), _table(found, name, few, rivals))
    changes = sorted(
        {r.case.split("/")[1] for r in rows if r.case.startswith(f"{place}/") and r.rival == "clean"}
    )
    columns = {change: (f"{place}/{change}", "probe-accuracy") for change in changes}
    out += _titled(
        f"EuroSAT {_SPLITS[split]}, tiles changed after fitting; %",
        changes,
        _table(found, name, columns, ("clean",)),
    )
    return out


def _blocked(rows: Sequence[Row], found: Found, name: str, split: str) -> str:
    place = f"eurosat-blocked-{split}"
    bands = [
        c
        for c in ("12-bands", "4-bands", "3-bands")
        if (f"{place}/{c}/{name}", "probe-accuracy", "") in found
    ]
    columns = {case: (f"{place}/{case}", "probe-accuracy") for case in bands}
    rivals = ("pixel-statistics", "random-twin", "random-convolutions", "teacher")
    return _titled(
        f"EuroSAT, five blocked folds × 3, counted on {split} ({_n(rows, place)}); %",
        bands,
        _table(found, name, columns, rivals),
        "The stricter comparison: statistics gain most from more labels.",
    )


def _dense(found: Found, name: str, split: str) -> str:
    places = {
        "land use": "landuse", "water": "water", "cloud, land, water": "sky", "Landsat 7 strata": "strata"
    }  # fmt: skip
    columns = {
        f"{title}, {label}": (f"dense-{split}/{task}", metric)
        for title, task in places.items()
        for metric, label in (("accuracy", "accuracy"), ("macro-f1", "macro-F1"))
        if (f"dense-{split}/{task}/{name}", metric, "") in found
    }
    return _titled(
        f"Dense tasks, blocked folds ({split}); %",
        list(columns),
        _table(found, name, columns, ("pixels-with-context", "random-twin", "teacher")),
        "Pixels saturate these scenes: the claim is to stay level with pixels and their context, not to beat them.",
    )


def _ucmerced(rows: Sequence[Row], found: Found, name: str, split: str) -> str:
    place = f"ucmerced-{split}"
    others = [
        r.rival for r in rows if r.case == f"{place}/{name}" and r.metric == "probe-accuracy-difference"
    ]
    columns = {"21 classes": (place, "probe-accuracy")}
    return _titled(
        f"UC Merced {split} ({_n(rows, place)}), aerial RGB at 128 pixels; %",
        list(columns),
        _table(found, name, columns, list(dict.fromkeys(others))),
    )


def _properties(found: Found, name: str) -> str:
    place = f"terramind-val/{name}"
    position = found.get((f"eurosat-train/{name}", "position-share", ""))
    seam = found.get((place, "seam-ratio", ""))
    wide = found.get((place, "seam-ratio, one patch of margin", ""))
    if position is None and seam is None:
        return ""
    return (
        f"\nPosition explains {_cell(position, 2)} % of the token variance; tokens differ across tile borders "
        f"{_cell(seam, 2)} times as much as inside tiles, {_cell(wide, 2)} times with one patch of margin.\n"
    )


def tables(rows: Sequence[Row], name: str) -> str:
    """Everything measured of this model, and how to read it."""
    found = {(row.case, row.metric, row.rival): row for row in rows}
    seeds = sorted({row.seeds for row in rows if row.case.endswith(f"/{name}") and row.seeds})
    several = max(len(s.split(",")) for s in seeds) if seeds else 1
    text = (
        "\nFeatures are frozen. In brackets the 95 % interval over places (1-degree cells, blocks; of differences paired)\n"
        "and over seeds where there are several; after ± the smallest difference that this set can show. "
        f"Seeds measured: {several}.\n"
    )
    for split in _SPLITS:
        text += _eurosat(rows, found, name, split) + _blocked(rows, found, name, split)
        text += _dense(found, name, split)
        if split in ("val", "test"):
            text += _ucmerced(rows, found, name, split)
    return text + _properties(found, name)
