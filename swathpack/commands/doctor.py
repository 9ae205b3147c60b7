"""`swathpack doctor`: what this installation can do, and what to do about what it cannot."""

from __future__ import annotations

import typer

from swathpack.options import AsJson, Models


def run(models: Models = None, as_json: AsJson = False) -> None:
    """Check the core, back ends, model packages and optional parts.

    Exit 8 when the core cannot be used, no model package is found, or one that is found fails its check.
    """
    from codec.errors import ExitCode
    from swathpack.diagnosis import diagnose
    from swathpack.streams import print_json

    findings = diagnose(models)
    if as_json:
        print_json([f.as_json() for f in findings])
    else:
        for finding in findings:
            print(finding.line())
    if any(f.required and not f.ok for f in findings):
        raise typer.Exit(int(ExitCode.BACKEND))
