"""`swathpack`: every command, and the one place where errors become a line on stderr and an exit code.

`swathpack --help` imports none of numpy, pydantic, onnxruntime, torch: commands import what they need when they run.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from codec.errors import BackendUnavailable, ExitCode, LimitExceeded, SwathpackError
from swathpack.commands import (
    decode,
    demo,
    doctor,
    drift,
    encode,
    fit,
    ground,
    inspect,
    link,
    link_sim,
    pack,
    preview,
    refit,
    unpack,
    uplink,
    verify,
)
from swathpack.streams import refused

INTERRUPTED = 128 + signal.SIGINT  # as shells count
PIPE_CLOSED = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # what writing to standard output may meet
EPILOG = (
    "Exit codes: 0 ok · 1 internal · 2 usage · 3 bad input · 4 integrity · 5 unknown or unsigned identity · 6 partial "
    "result · 7 resource limit · 8 back end missing · 75 try again later."
)
# Which extra brings a module that a command may miss; the base install decodes, inspects and verifies.
EXTRAS = {
    "rasterio": "onboard",
    "onnxruntime": "onboard",
    "cryptography": "onboard",
    "pydantic": "onboard",
    "PIL": "ground",
    "onnx": "ground",
    "torch": "train",
    "zarr": "arrays",
}

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


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("swathpack"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of every command."""
    context.obj["debug"] = debug


app.command("encode")(encode.run)
app.command("decode")(decode.run)
app.command("inspect")(inspect.run)
app.command("verify")(verify.run)
app.command("fit")(fit.run)
app.command("pack")(pack.run)
app.command("unpack")(unpack.run)
app.command("preview")(preview.run)
app.command("drift")(drift.run)
app.command("refit")(refit.run)
app.add_typer(uplink.app, name="uplink")
app.add_typer(link.app, name="link")
app.command("link-sim")(link_sim.run)
app.add_typer(ground.app, name="ground")
app.command("demo")(demo.run)
app.command("doctor")(doctor.run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default that of the process); returns the exit code, whatever happens."""
    if arguments is None:
        signal.signal(signal.SIGTERM, _terminated)
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a letter of a name or of the table shows its code instead.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    state: dict[str, bool] = {"debug": False}
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments), state)
        sys.stdout.flush()
        return code
    except BaseException as error:
        if state["debug"]:
            traceback.print_exc()
        return _report(error)


def _run(arguments: list[str], state: dict[str, bool]) -> int:
    """Parse and call; not typer's own runner, which would end the process itself where a pipe breaks."""
    command: Any = typer.main.get_command(app)
    try:
        with command.make_context("swathpack", arguments, obj=state) as context:
            return int(command.invoke(context) or ExitCode.OK)
    except typer.Exit as finished:
        return int(finished.exit_code)


def _report(error: BaseException) -> int:
    """One line on stderr, and the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(ExitCode.INTERNAL)
    if isinstance(error, BrokenPipeError):
        # The reader went away, as `head` does: nothing to say, and Python must not complain when it closes stdout.
        _discard_stdout()
        return PIPE_CLOSED
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        _show("error: interrupted")
        return INTERRUPTED
    if _is_usage(error):
        return _report_usage(error)
    if isinstance(error, ModuleNotFoundError) and _top(error) in EXTRAS:
        error = BackendUnavailable(
            f"{_top(error)} is not installed", fix=f"pip install 'swathpack[{EXTRAS[_top(error)]}]'"
        )
    elif isinstance(error, MemoryError):
        error = LimitExceeded("the memory of this machine is not enough", fix="use a smaller scene or file")
    elif isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
        _discard_stdout()  # what Python still holds back would fail once more at exit
        error = refused(error, "standard output")
    if isinstance(error, SwathpackError):
        _show(f"error: {error}")
        return int(error.exit_code)
    _show(f"error: internal: {type(error).__name__}: {error}; please report it, with the output of --debug")
    return int(ExitCode.INTERNAL)


def _is_usage(error: BaseException) -> bool:
    """Errors of the command-line parser; typer may carry its own copy of click."""
    return callable(getattr(error, "format_message", None)) and hasattr(error, "exit_code")


def _report_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # the whole help
        return int(ExitCode.USAGE)
    where = context.command_path if context is not None else "swathpack"
    _show(f"error: {' '.join(error.format_message().split()).rstrip('.')}; see {where} --help")
    return int(ExitCode.USAGE)


def _top(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(*_: object) -> None:
    """SIGTERM: unwind, so that temporary files go."""
    raise SystemExit(TERMINATED)


def _show(line: str) -> None:
    print(line, file=sys.stderr)
