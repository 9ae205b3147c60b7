"""`swathpack`: every command, and the one place where errors become a line on stderr and an exit code.

`swathpack --help` imports none of numpy, pydantic, onnxruntime, torch: commands import what they need when they run.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from swathpack.commands import decode, demo, doctor, encode, ground, inspect, link, link_sim, verify

EPILOG = (
    "Exit codes: 0 ok · 1 internal · 2 usage · 3 bad input · 4 integrity · 5 unknown or unsigned identity · 6 partial "
    "result · 7 resource limit · 8 back end missing · 75 try again later."
)

app = typer.Typer(
    name="swathpack",
    help="Send what a satellite or drone understood: encode multi-band scenes to embeddings of a few hundred bytes per "
    "tile, carry them over a lossy link, decode and use them on the ground.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["SWATHPACK_DEBUG"] = "1"
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("swathpack"))
        raise typer.Exit


app.command("encode")(encode.run)
app.command("decode")(decode.run)
app.command("inspect")(inspect.run)
app.command("verify")(verify.run)
app.add_typer(link.app, name="link")
app.command("link-sim")(link_sim.run)
app.add_typer(ground.app, name="ground")
app.command("demo")(demo.run)
app.command("doctor")(doctor.run)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    from codec.errors import ExitCode, SwathpackError

    try:
        code = typer.main.get_command(app)(arguments, prog_name="swathpack", standalone_mode=False)
    except SwathpackError as error:
        _show(f"error: {error}")
        return int(error.exit_code)
    except typer.Abort:
        _show("error: aborted")
        return int(ExitCode.USAGE)
    except BrokenPipeError:
        # The reader of a pipe went away; keep Python from complaining when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if _is_usage(error):
            error.show()  # type: ignore[attr-defined]
            return int(ExitCode.USAGE)
        _show(
            f"error: internal: {type(error).__name__}: {error}; please report it, with the output of --debug"
        )
        return int(ExitCode.INTERNAL)
    return int(code or 0)


def _is_usage(error: Exception) -> bool:
    """Errors of the command-line parser, which print themselves; typer may carry its own copy of click."""
    return callable(getattr(error, "show", None)) and hasattr(error, "exit_code")


def _show(line: str) -> None:
    if os.environ.get("SWATHPACK_DEBUG"):
        traceback.print_exc()
    print(line, file=sys.stderr)
