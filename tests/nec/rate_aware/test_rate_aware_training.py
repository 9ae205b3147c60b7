"""An adaptation starts from a run's weights, resumes to the bit, trades bits for error, and refuses what is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import InputError, UsageError
from codec.models.bands import S2_NANO_BANDS
from codec.models.weights import load_encoder
from codec.nec.rate_aware.__main__ import main
from codec.nec.rate_aware.recipe import Adaptation, load_adaptation
from codec.nec.rate_aware.run import RateAwareRun
from codec.pretrain.labels import Pool
from codec.pretrain.recipe import Recipe
from codec.pretrain.run import Run

WIDTH = 16


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Views of soft blobs; the teacher's token is a fixed map of the patch means, so that there is something to learn."""
    rng = np.random.default_rng(0)
    n, bands = 80, len(S2_NANO_BANDS)
    coarse = rng.random((n, bands, 8, 8))
    coarse = 0.5 * coarse + 0.5 * coarse.mean((2, 3), keepdims=True)
    pixels = coarse.repeat(8, 2).repeat(8, 3) * 0.4 + 0.02 * rng.random((n, bands, 64, 64))
    teacher = np.einsum("nbhw,bd->nhwd", coarse, rng.standard_normal((bands, WIDTH)))
    return Pool(
        pixels.astype(np.float16),
        np.ones((n, bands), np.uint8),
        teacher.astype(np.float16),
        np.zeros(n, np.int16),
        np.arange(n, dtype=np.int32),
        np.zeros((1, 8, 8, WIDTH), np.float32),
        np.ones(WIDTH, np.float32),
        S2_NANO_BANDS,
    )


@pytest.fixture(scope="module")
def start(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "precision": "fp32",
            "device": "cpu",
            "model": {"depth": 1, "width": WIDTH, "heads": 2},
            "objective": {"hidden_batches": 0.0, "pixels_from": "tokens"},
            "schedule": {"samples": 2400, "batch": 16, "warmup": 32, "peak_rate": 3e-3},
        }
    )
    run = Run(pool, recipe)
    for _ in range(recipe.schedule.steps):
        run.advance()
    path = tmp_path_factory.mktemp("start") / "checkpoint.pt"
    run.save(path)
    return path


def adaptation(**changes: object) -> Adaptation:
    values: dict[str, object] = {
        "views": 64,
        "refits": 2,
        "finest_bytes": 120.0,
        "coarsest_bytes": 12.0,
        "schedule": {"samples": 64, "batch": 16, "warmup": 16, "peak_rate": 1e-3},
    }
    return Adaptation.model_validate({**values, **changes})


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.student.parameters()])


def test_it_begins_with_the_weights_of_the_run_it_starts_from(pool: Pool, start: Path) -> None:
    stored = torch.load(start, weights_only=True)["student"]
    run = RateAwareRun(pool, start, adaptation())
    for name, value in run.student.state_dict().items():
        assert torch.equal(value, stored[name])


def test_a_resumed_adaptation_equals_one_that_never_stopped(pool: Pool, start: Path, tmp_path: Path) -> None:
    """Over a refit, which lies in the middle of four steps."""
    whole, first = (RateAwareRun(pool, start, adaptation()) for _ in range(2))
    losses = [whole.advance() for _ in range(4)]
    first.advance()
    first.save(tmp_path / "c.pt")
    second = RateAwareRun(pool, start, adaptation())
    second.load(tmp_path / "c.pt")
    assert [second.advance() for _ in range(3)] == losses[1:]
    assert torch.equal(weights(whole), weights(second))


def test_the_control_goes_on_as_it_began(pool: Pool, start: Path) -> None:
    run = RateAwareRun(pool, start, adaptation(weight=0.0))
    twin = Run(pool, run.recipe)
    twin.student.load_state_dict(torch.load(start, weights_only=True)["student"])
    assert [run.advance() for _ in range(2)] == [twin.advance() for _ in range(2)]
    assert run.channel is None


def test_adapted_tokens_take_fewer_bits_at_the_same_step(pool: Pool, start: Path) -> None:
    """A heavy weight of the rate, and the same draws: what a fixed channel charges must fall against the control."""
    schedule = {"samples": 640, "batch": 16, "warmup": 32, "peak_rate": 2e-3}
    runs = [RateAwareRun(pool, start, adaptation(weight=w, schedule=schedule)) for w in (20.0, 0.0)]
    ruler = RateAwareRun(pool, start, adaptation())
    channel = ruler.refit()
    charged = []
    for run in runs:
        for _ in range(run.recipe.schedule.steps):
            run.advance()
        run.student.eval()
        tokens = torch.from_numpy(run.embed(np.arange(64)))
        charged.append(float(channel.send(tokens, channel.indices.start, learn=False).bits.sum()))
    assert charged[0] < 0.9 * charged[1]


def test_every_quality_counts_by_what_its_bits_were_worth(pool: Pool, start: Path) -> None:
    run = RateAwareRun(pool, start, adaptation())
    run.refit()
    shares = [run.share_of(index) for index in sorted(run.share)]
    assert np.mean(shares) == pytest.approx(1.0)
    assert shares[0] > shares[-1]  # bits of fine qualities are worth less
    assert run.share_of(-5) == shares[0]
    assert run.share_of(99) == shares[-1]


def test_the_report_counts_what_the_start_has_cost(pool: Pool, start: Path) -> None:
    run = RateAwareRun(pool, start, adaptation())
    before = torch.load(start, weights_only=True)
    run.advance()
    assert run.report()["samples"] == 16 * before["step"] + 16
    assert run.energy.cpu_s >= before["energy"][1]


def test_what_is_not_a_checkpoint_is_refused(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a checkpoint of a training run"):
        RateAwareRun(pool, path, adaptation())
    with pytest.raises(InputError, match="not a checkpoint of a training run"):
        RateAwareRun(pool, tmp_path / "absent.pt", adaptation())


def test_a_run_with_other_settings_or_another_start_does_not_go_on(
    pool: Pool, start: Path, tmp_path: Path
) -> None:
    run = RateAwareRun(pool, start, adaptation())
    run.save(tmp_path / "c.pt")
    with pytest.raises(InputError, match="weight"):
        RateAwareRun(pool, start, adaptation(weight=2.0)).load(tmp_path / "c.pt")
    other = torch.load(start, weights_only=True)
    other["step"] = 7
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(InputError, match="start"):
        RateAwareRun(pool, tmp_path / "other.pt", adaptation()).load(tmp_path / "c.pt")
    with pytest.raises(InputError, match="another kind of run"):
        run.load(start)


def test_overrides_are_named_where_they_are_wrong() -> None:
    assert load_adaptation(None, ["schedule.samples=128", "weight=0"]).schedule.samples == 128
    with pytest.raises(UsageError, match="--set weight=-1"):
        load_adaptation(None, ["weight=-1"])
    with pytest.raises(UsageError, match="finest quality has the most bytes"):
        load_adaptation(None, ["finest_bytes=1"])


def test_the_command_runs_from_a_pool_to_an_encoder(pool: Pool, start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    parts = {
        "pixels": pool.pixels,
        "tokens": pool.tokens,
        "bands": pool.bands,
        "group": pool.group,
        "image": pool.image,
    }
    for name, values in parts.items():
        np.save(folder / f"{name}.npy", values)
    np.savez(folder / "targets.npz", position_mean=pool.position_mean, spread=pool.spread)
    (folder / "pool.json").write_text(json.dumps({"bands": list(pool.bands_of)}))
    out = tmp_path / "adapted.safetensors"
    arguments = ["--pool", str(folder), "--start", str(start), "--out", str(tmp_path / "run")]
    assert main(["train", "--fast", "--threads", "1", *arguments, "--encoder", str(out)]) == 0
    adapted, before = load_encoder(out), torch.load(start, weights_only=True)["student"]
    moved = [
        not torch.allclose(value, before[f"encoder.{name}"], atol=1e-3)
        for name, value in adapted.state_dict().items()
    ]
    assert any(moved)
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    assert report["adaptation"]["schedule"]["samples"] == 96


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "--pool", str(tmp_path), "--start", "x.pt", "--out", str(tmp_path / "o")])
    assert code == 2 or code == 3
    assert capsys.readouterr().err.count("\n") == 1
