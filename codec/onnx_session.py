"""One way to load an ONNX graph on the CPU: whatever does not load is a typed error, and ONNX Runtime keeps quiet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codec.errors import BackendUnavailable, Corrupt


def open_session(
    graph: bytes | Path,
    *,
    path: Path | None = None,
    what: str = "the graph",
    threads: int = 0,
    config: Mapping[str, str] | None = None,
) -> Any:
    """An `onnxruntime.InferenceSession` of a file, or of the bytes of one that was checked before.

    `path`: where bytes come from, for messages; `what`: what messages call the graph; `threads`: inside an operator,
    0 for one per core; `config`: entries of the session's configuration.
    Raises BackendUnavailable without onnxruntime and Corrupt for a graph that it refuses.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendUnavailable(
            "onnxruntime is not installed", fix="pip install 'swathpack[onboard]'"
        ) from error
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it refuses is raised, and said once
    options.intra_op_num_threads = threads
    for name, value in (config or {}).items():
        options.add_session_config_entry(name, value)
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own, undocumented, types
        said = str(error).splitlines()
        raise Corrupt(
            f"ONNX Runtime refuses {what}: {said[0][:200] if said else type(error).__name__}",
            path=path if isinstance(graph, bytes) else graph,
        ) from error
