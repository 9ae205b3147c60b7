"""Command line: `python -m codec.models.foreign report --layout NAME --checkpoint FILE`, and `layouts`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.errors import SwathpackError
from codec.models.foreign.layout import layout_names, read_layout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a SwathpackError becomes one line and its exit code. The report is printed whether it fits or not."""
    parser = argparse.ArgumentParser(prog="python -m codec.models.foreign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser(
        "report", help="compare a checkpoint with a layout, tensor by tensor; nothing is changed"
    )
    report.add_argument("--layout", required=True, help="name of a layout")
    report.add_argument("--checkpoint", type=Path, required=True, help="file of torch, or .safetensors")
    report.add_argument("--decoder", action="store_true", help="count the MAE decoder as needed")
    layouts = commands.add_parser("layouts", help="list the layouts")
    for command in (report, layouts):
        command.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        if options.command == "layouts":
            _layouts(options.json)
        else:
            _report(options.layout, options.checkpoint, options.decoder, options.json)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def _report(name: str, path: Path, decoder: bool, as_json: bool) -> None:
    layout = read_layout(name)  # before torch is imported
    from codec.models.foreign.load import inspect

    report = inspect(layout, path, decoder=decoder)
    print(json.dumps(report.as_dict()) if as_json else report.table())
    report.require()


def _layouts(as_json: bool) -> None:
    layouts = [read_layout(name) for name in layout_names()]
    if as_json:
        fields = ("name", "family", "paper", "repository", "file", "commit")
        print(json.dumps([{field: getattr(layout, field) for field in fields} for layout in layouts]))
        return
    for layout in layouts:
        print(f"{layout.name:34} {layout.family:16} {layout.repository} @ {layout.commit}")


if __name__ == "__main__":
    sys.exit(main())
