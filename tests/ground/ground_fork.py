"""Starts station runs quickly: a process that has imported everything forks one child for each run.

`ForkServer` is the test's side; run as a script it is the server, reading one JSON object a line. Every run is a process of
its own that may be killed at a crash point, recorded (LD_PRELOAD, ground_recorder.cpp), or run with one fsync left out.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """One run of `serve(once)`."""

    station: str
    models: str
    drop: str = ""  # folder of files that a user puts into the inbox before the run, durably
    crash_at: int = 0  # 0: never
    skip: tuple[str, ...] = ()  # names of `Sync`
    record_root: str = ""  # folder to record; empty: no recording
    record_log: str = ""
    acks: str = ""  # file or FIFO that gets one line for each durable arrival and published version
    udp: bool = (
        False  # listen on a free port until SIGTERM, instead of `once`; the port is the first acknowledgement
    )
    max_file: int = 0  # RLIMIT_FSIZE in bytes; 0: none
    warm: bool = False  # run in the server itself, so that GDAL, PROJ and fonts are loaded before it forks


@dataclass(frozen=True)
class Run:
    """How it ended."""

    code: int  # exit code, or minus the signal
    crash_points: int  # passed; 0 when it was killed
    message: str  # last line on stderr


class ForkServer:
    """Context manager around one server process."""

    def __init__(self, *, preload: Path | None = None) -> None:
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
        environment.pop("SWATHPACK_CRASH_AT", None)
        if preload is not None:
            environment |= {"LD_PRELOAD": str(preload), "GROUND_RECORDER": str(preload)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT
        )  # fmt: skip

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def run(self, job: Job) -> Run:
        """One run, to its end."""
        self.start(job)
        return self.wait()

    def start(self, job: Job) -> None:
        """Begin a run; `wait` must follow before the next one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()

    def wait(self) -> Run:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the fork server died; its stderr says why")
        return Run(**json.loads(answer))


def _serve_once(job: Job, report: int) -> int:
    from codec.errors import SwathpackError
    from ground.config import GroundConfig
    from ground.daemon import Observer, serve
    from ground.files import Files, Sync

    recorder = ctypes.CDLL(os.environ["GROUND_RECORDER"]) if job.record_root else None
    acks = os.open(job.acks, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644) if job.acks else -1

    class Acknowledge(Observer):
        def _say(self, line: str) -> None:
            if acks >= 0:
                os.write(acks, f"{line}\n".encode())
            if recorder is not None:
                recorder.recorder_mark(line.encode())

        def listening(self, port: int) -> None:
            self._say(f"listening {port} {os.getpid()}")

        def committed(self, arrivals: list) -> None:  # type: ignore[type-arg]
            for arrival in arrivals:
                digest = hashlib.sha256(arrival.payload).hexdigest()
                self._say(f"spooled {arrival.name if not job.udp else digest}")

        def published(self, version) -> None:  # type: ignore[no-untyped-def]
            self._say(f"published {version.file_id} {version.inputs} {version.number} {version.complete}")

        def remark(self, line: str) -> None:
            os.write(report, f"say {line}\n".encode())

    if recorder is not None:
        recorder.recorder_start(job.record_root.encode(), job.record_log.encode())
    if job.drop:
        _drop(Path(job.drop), Path(job.station) / "inbox")
    if job.max_file:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (job.max_file, job.max_file))
    files = Files(crash_at=job.crash_at, skip=[Sync(name) for name in job.skip])
    config = GroundConfig(
        station=Path(job.station), models=(Path(job.models),), once=not job.udp, port=0 if job.udp else None,
        segment_bytes=4096, poll_s=0.02, settle_s=0.02, group_s=0.005, package_poll_s=0.05,
    )  # fmt: skip
    try:
        code = int(serve(config, files=files, observer=Acknowledge()))
    except SwathpackError as error:
        os.write(report, f"say {error}\n".encode())
        code = int(error.exit_code)
    os.write(report, f"points {files.crash_points}\n".encode())
    return code


def _drop(source: Path, inbox: Path) -> None:
    for path in sorted(source.iterdir()):
        with open(inbox / path.name, "wb") as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    folder = os.open(inbox, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _main() -> None:
    import onnxruntime  # noqa: F401
    import PIL.ImageFont  # noqa: F401
    import rasterio.io
    import rasterio.shutil
    import rasterio.warp  # noqa: F401

    import codec.scene.cog
    import codec.scene.tiling  # noqa: F401
    import ground.daemon  # noqa: F401

    for line in sys.stdin:
        fields = json.loads(line)
        job = Job(**{**fields, "skip": tuple(fields["skip"])})
        if job.warm:
            print(
                json.dumps(
                    {
                        "code": _serve_once(job, os.open(os.devnull, os.O_WRONLY)),
                        "crash_points": 0,
                        "message": "",
                    }
                ),
                flush=True,
            )
            continue
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.close(reading)
                code = _serve_once(job, writing)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as stream:
            said = [text.rstrip("\n").split(" ", 1) for text in stream]
        _, status = os.waitpid(child, 0)
        points = next((int(value) for kind, value in said if kind == "points"), 0)
        message = next((value for kind, value in reversed(said) if kind == "say"), "")
        answer = {"code": os.waitstatus_to_exitcode(status), "crash_points": points, "message": message}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main()
