"""Training: what it is shown is what a receiver has; it learns, resumes exactly, and refuses what is not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codec import pipeline
from codec.bitstream.reader import read_bytes
from codec.errors import ExitCode, InputError, UsageError
from codec.nec.refinement.__main__ import main
from codec.nec.refinement.degraded import Quality, Windows, read_embeddings
from codec.nec.refinement.recipe import load_recipe
from codec.nec.refinement.run import CHECKPOINT, REPORT, Run, rate, ratio, train
from codec.package import Package
from codec.types import Georeference, Latent, TileGrid
from tests.nec.refinement.small_refinement import arrays, recipe, windows, write_embeddings


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.network.parameters()])


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_training_sees_what_a_receiver_of_the_file_has(package: Package, layers: int) -> None:
    """Against the pipeline on real bytes: values, validity, steps and arrivals."""
    of = windows(package)
    planes, validity = arrays()
    n, index = 24, package.default_ladder_index
    latents = [
        Latent(i, package.transforms[e.name].analyse(planes[e.name][:n], validity[:n]), validity[:n])
        for i, e in enumerate(package.planes)
    ]
    core = package.tile.core
    nec = pipeline.encode(
        package, latents, grid=TileGrid(n * core, core, core, core), sensor="test", band_mask=0, time_us=0,
        georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), ladder_index=index,
    )  # fmt: skip
    file = read_bytes(nec)
    seen: list[dict[str, np.ndarray]] = []

    def spy(embeddings, steps):  # type: ignore[no-untyped-def]
        seen.append(dict(steps))
        return embeddings

    decoded = pipeline.decode(
        package, file.header, [r.data for r in file.records], max_layers=layers, refine=spy
    )
    counts = [e.spec.n_layers for e in package.planes]
    quality = Quality(
        index,
        tuple((0,) * c for c in counts),
        tuple(tuple(layer < layers for layer in range(c)) for c in counts),
    )
    group = of.degrade(np.arange(n), quality)
    for name, embedding in decoded.embeddings.items():
        np.testing.assert_allclose(group.planes[name], embedding.values, atol=2e-5)
        assert np.array_equal(group.validity > 0, embedding.validity)
    measured = validity[:n].any((1, 2))
    np.testing.assert_array_equal(
        group.steps[measured], np.concatenate([seen[0][e.name] for e in package.planes], 1)[measured]
    )
    bits = [
        (decoded.embeddings[e.name].layers[:, None] >> np.arange(c)) & 1
        for e, c in zip(package.planes, counts, strict=True)
    ]
    np.testing.assert_array_equal(group.arrived[measured], np.concatenate(bits, 1)[measured])


def test_training_finds_what_the_second_plane_says_of_the_first(package: Package) -> None:
    """The second plane repeats channels of the first, of which layer 0 alone has arrived. Of Gaussian fields there is
    nothing else to find: their transform is optimal already. Scored on tiles left out of the training.
    """
    planes, validity = arrays()
    tokens, valid = planes["tokens"], np.ones_like(validity)
    told = {"tokens": tokens, "spectral": (tokens - tokens.mean(0))[..., :4].copy()}
    changes = {
        "samples": 2400,
        "horizon": 2400,
        "cooldown": 0,
        "warmup": 100,
        "peak_rate": 0.004,
        "offsets": 0.0,
        "whole": 0.0,
        "prefix": 1.0,
    }
    of = Windows.of(package, {n: x[:72] for n, x in told.items()}, valid[:72], recipe(**changes))
    run = Run(of, recipe(**changes))
    while run.step < run.recipe.steps:
        run.advance()
    others = Windows.of(package, {n: x[72:] for n, x in told.items()}, valid[72:], recipe())
    index = package.default_ladder_index
    mean = Quality(index, ((0,) * 4, (0,) * 2), ((True, False, False, False), (True, True)))
    with torch.no_grad():
        after = float(ratio(run.network, others.degrade(np.arange(24), mean)))
    assert after < 0.97


def test_a_resumed_run_equals_one_that_never_stopped(package: Package, tmp_path: Path) -> None:
    of = windows(package)
    whole = Run(of, recipe())
    assert train(whole, tmp_path / "whole", report_every=1)
    part = Run(of, recipe())
    part.advance()
    part.save(tmp_path / CHECKPOINT)
    resumed = Run(of, recipe())
    assert train(resumed, tmp_path, report_every=1)
    assert torch.equal(weights(resumed), weights(whole))
    assert (tmp_path / REPORT).exists()


def test_a_run_of_another_recipe_or_other_embeddings_is_not_continued(
    package: Package, tmp_path: Path
) -> None:
    of = windows(package)
    run = Run(of, recipe())
    run.save(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="another seed"):
        Run(of, recipe(seed=1)).load(tmp_path / CHECKPOINT)
    planes, validity = arrays()
    fewer = Windows.of(package, {n: x[:48] for n, x in planes.items()}, validity[:48], recipe())
    with pytest.raises(InputError, match="other embeddings"):
        Run(fewer, recipe()).load(tmp_path / CHECKPOINT)


def test_the_same_seed_gives_the_same_weights(package: Package) -> None:
    first, second = Run(windows(package), recipe()), Run(windows(package), recipe())
    for run in (first, second):
        run.advance()
        run.advance()
    assert torch.equal(weights(first), weights(second))


def test_the_rate_rises_falls_along_the_cosine_and_cools_down() -> None:
    """Ten steps of warm-up, horizon 100 steps, 60 in all, the last 20 cooling down; values by hand."""
    of = recipe(
        samples=960, warmup=160, horizon=1600, cooldown=320, peak_rate=0.1
    )  # 16 samples a step: 60, 10, 100, 20 steps
    assert rate(of, 0) == pytest.approx(0.01)
    assert rate(of, 9) == pytest.approx(0.1)
    assert rate(of, 10) == pytest.approx(0.1)
    at_start = 0.1 * (0.01 + 0.99 * 0.75)  # a third of the way: (1 + cos 60°) / 2
    assert rate(of, 40) == pytest.approx(at_start)
    assert rate(of, 50) == pytest.approx(at_start * (1 - 0.99 / 2))
    assert rate(of, 60) == pytest.approx(at_start * 0.01)


def test_layer_0_of_the_first_plane_is_in_every_quality_and_all_is_on_the_ladder(package: Package) -> None:
    of, rng = windows(package), np.random.default_rng(0)
    drawn = [of.draw(recipe(offsets=1.0), rng) for _ in range(200)]
    assert all(q.arrived[0][0] for q in drawn)
    assert {q.arrived[1] for q in drawn} == {(False, False), (True, False), (False, True), (True, True)}
    for q in drawn[:20]:
        of.degrade(np.arange(2), q)  # raises where a layer falls off the ladder


def test_the_command_trains_exports_and_goes_on_after_a_stop(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embeddings = write_embeddings(tmp_path / "e.npz")
    small = [f"--set={k}={v}" for k, v in recipe().model_dump().items()]
    where = [
        "--package",
        str(package.folder),
        "--embeddings",
        str(embeddings),
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["train", *where, *small, "--minutes", "0"]) == ExitCode.TRY_AGAIN
    assert main(["export", *where, "--graph", str(tmp_path / "d.onnx")]) == ExitCode.BAD_INPUT
    assert "not finished" in capsys.readouterr().err
    assert not (tmp_path / "d.onnx").exists()
    assert main(["train", *where, *small]) == ExitCode.OK
    assert main(["export", *where, "--graph", str(tmp_path / "d.onnx")]) == ExitCode.OK
    assert (tmp_path / "d.onnx").stat().st_size < 1 << 20


def test_wrong_recipes_and_embeddings_are_one_line(package: Package, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--set width=many"):
        load_recipe(overrides=["width=many"])
    with pytest.raises(UsageError, match="key=value"):
        load_recipe(overrides=["width"])
    path = tmp_path / "r.yaml"
    path.write_text("width: 128\nnames: 3\n")
    with pytest.raises(UsageError, match="line 2, names"):
        load_recipe(path)
    (tmp_path / "e.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="training embeddings"):
        read_embeddings(tmp_path / "e.npz")
