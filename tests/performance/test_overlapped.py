"""Coding beside the encoder gives the files of one step after another, and what benchmarks run is the package's graph."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.half_graph import HalfGraph, TorchEngine  # noqa: E402
from benchmarks.overlapped import FileCoder, Overlapped, plain  # noqa: E402
from benchmarks.random_package import pictures, random_package  # noqa: E402
from benchmarks.vit_b import Contest  # noqa: E402
from codec.bitstream.coefficients import decode  # noqa: E402
from codec.bitstream.reader import read_bytes  # noqa: E402
from codec.errors import InputError, InternalError  # noqa: E402
from codec.models import EncoderConfig  # noqa: E402
from codec.package import Package  # noqa: E402
from onboard.export import encoder_graph  # noqa: E402

TINY = EncoderConfig(bands=("blue", "green", "red"), tile=32, patch=8, width=16, depth=1, heads=2)
BATCH = 5


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return random_package(tmp_path_factory.mktemp("random") / "tiny", TINY, n_tiles=40, default_bytes=40)


@pytest.fixture(scope="module")
def graph(package: Package) -> HalfGraph:
    return HalfGraph(package, torch.float32)


def inputs(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return pictures(n, TINY, "cpu", seed=7), torch.ones(n, 3), torch.ones(n, 32, 32)


def symbols_of(graph: HalfGraph) -> object:
    return lambda pixels: graph.symbols(pixels, *inputs(len(pixels))[1:])


@pytest.mark.parametrize(("threads", "depth"), [(1, 1), (1, 3), (3, None), (3, 2)])
def test_files_are_those_of_one_step_after_another_in_their_order(
    package: Package, graph: HalfGraph, threads: int, depth: int | None
) -> None:
    batches = list(inputs(7 * BATCH)[0].split(BATCH))
    coder, encode = FileCoder(package), symbols_of(graph)
    expected = plain(encode, coder, batches)
    assert len(set(expected)) == len(batches), "every batch has a file of its own"
    overlapped = Overlapped(encode, coder, "cpu", threads=threads, depth=depth)
    assert overlapped.run(batches) == expected
    assert overlapped.run(batches[::-1]) == expected[::-1], "buffers are used again"
    overlapped.close()


def test_a_buffer_is_not_written_while_its_batch_is_being_coded(package: Package, graph: HalfGraph) -> None:
    batches, encode = list(inputs(4 * BATCH)[0].split(BATCH)), symbols_of(graph)
    expected = plain(encode, FileCoder(package), batches)
    encoded, waits = threading.Semaphore(0), [0]

    class Late(FileCoder):
        """Codes when the next batch has been encoded and would be copied."""

        def code(self, symbols: dict[str, np.ndarray]) -> bytes:
            waits[0] += 1
            if waits[0] < len(batches):
                assert encoded.acquire(timeout=10)
            return super().code(symbols)

    def counted(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        found = encode(pixels)
        if counted.calls:
            encoded.release()
        counted.calls += 1
        return found

    counted.calls = 0
    overlapped = Overlapped(counted, Late(package), "cpu", threads=1, depth=1)
    assert overlapped.run(batches) == expected
    overlapped.close()


def test_what_coding_refuses_is_raised(package: Package) -> None:
    wrong = Overlapped(lambda pixels: {"tokens": torch.zeros((len(pixels), 3, 3), dtype=torch.int16)},
                       FileCoder(package), "cpu")  # fmt: skip
    with pytest.raises(InputError, match="wrong shape or type"):
        wrong.run([torch.zeros(2, 3, 32, 32)])
    wrong.close()


def test_a_file_holds_the_symbols_that_the_device_made(package: Package, graph: HalfGraph) -> None:
    pixels = inputs(BATCH)[0]
    made = graph.symbols(*inputs(BATCH))["tokens"].numpy()
    (data,) = plain(symbols_of(graph), FileCoder(package), [pixels])
    file = read_bytes(data)
    assert file.is_whole
    found = decode(package.tables, file.header, file.records)
    assert np.array_equal(found.planes[0].values, made)
    assert np.abs(made).max() > 1


def test_the_graph_is_the_exported_one_with_another_attention(package: Package, graph: HalfGraph) -> None:
    embedding, latent, symbols = encoder_graph(package)(*inputs(4))
    assert torch.allclose(graph.embed(*inputs(4))["tokens"], embedding, atol=1e-5)
    latents, own = graph.code(*inputs(4))
    assert torch.allclose(latents["tokens"], latent, atol=1e-4)
    assert float((own["tokens"] != symbols).float().mean()) < 1e-3
    assert own["tokens"].dtype == torch.int16


def test_half_precision_is_of_the_network_and_not_of_the_transform(package: Package) -> None:
    half = HalfGraph(package, torch.bfloat16)
    pixels, bands, validity = (x.bfloat16() for x in inputs(4))
    assert half.embed(pixels, bands, validity)["tokens"].dtype == torch.bfloat16
    assert half.latents(pixels, bands, validity)["tokens"].dtype == torch.float32


def test_an_engine_of_pytorch_is_an_engine(package: Package) -> None:
    engine = TorchEngine(package, "cpu")
    assert (engine.planes, engine.input_shape) == (("tokens",), (3, 32, 32))
    pixels, bands, validity = (x.numpy() for x in inputs(3))
    found = engine.run(pixels, bands, validity)["tokens"]
    assert np.allclose(found, encoder_graph(package)(*inputs(3))[1].numpy(), atol=1e-4)
    with pytest.raises(InputError, match="input pixels does not fit"):
        engine.run(pixels[:, :2], bands, validity)


@pytest.fixture(scope="module", params=[False, True], ids=["graph", "kernels"])
def contest(package: Package, request: pytest.FixtureRequest) -> Contest:
    return Contest(
        package, "cpu", torch.float32, BATCH, n_batches=3, compiled=False, by_kernels=request.param
    )


def test_the_large_encoders_benchmark_runs_on_a_processor_too(contest: Contest) -> None:
    assert contest.check() == contest.coded()
    again = replace(contest, turns=2)
    assert again.coded() == 2 * contest.coded()
    assert again.images == 2 * contest.images == 2 * 3 * BATCH
    again.overlapped.close()
    assert contest.network(contest.pixels[0]).shape == (BATCH, 4, 4, 16)
    contest.bare()


def test_both_quantisers_make_the_same_symbols(package: Package) -> None:
    pair = [
        Contest(package, "cpu", torch.float32, BATCH, n_batches=1, compiled=False, by_kernels=how)
        for how in (False, True)
    ]
    with torch.inference_mode():
        graph, kernels = (one.symbols(one.pixels[0])["tokens"] for one in pair)
    assert kernels.dtype == graph.dtype == torch.int16
    assert float((graph != kernels).float().mean()) < 1e-3


def test_files_of_other_symbols_are_no_answer(package: Package, contest: Contest) -> None:
    wrong = Contest(package, "cpu", torch.float32, BATCH, n_batches=3, compiled=False)
    right = contest.symbols
    wrong.__dict__["symbols"] = lambda pixels: {"tokens": right(pixels)["tokens"].flip(0)}
    with pytest.raises(InternalError, match="not those of the network"):
        wrong.check()
    wrong.overlapped.close()


def test_what_is_compiled_is_one_graph(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare encoder and the one with its transform: a split graph would slow one of them and not the other."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **k: compile_(f, backend="eager", fullgraph=True, **k))
    contest = Contest(package, "cpu", torch.float32, BATCH, n_batches=1)
    (pixels,) = contest.pixels
    with torch.inference_mode():
        assert contest.network(pixels).shape == (BATCH, 4, 4, 16)
        assert contest.symbols(pixels)["tokens"].dtype == torch.int16
