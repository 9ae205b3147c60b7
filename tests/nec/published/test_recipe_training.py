"""A run is deterministic, resumable, learns, and says what it cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_nec import REPAIRED, needs_compressai, recipe, small, views

from codec.errors import BackendUnavailable, InputError, InternalError
from codec.nec.processes import Processes
from codec.nec.published import Nec2024
from codec.nec.recipe import LARGEST_DENSITY_RATE, Recipe
from codec.nec.samples import Samples
from codec.nec.start import cosine, load_start, make_start
from codec.nec.train import CHECKPOINT, REPORT, Run, train

pytestmark = needs_compressai


def run_of(of: Recipe | None = None, start: str = "s", class_token: bool = True) -> Run:
    torch.manual_seed(9)
    model = Nec2024(small(class_token))
    return Run(of or recipe(), model, Samples.of(views(), model.encoder, 8), start)


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("changes", [{}, REPAIRED], ids=["published", "repaired"])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, changes: dict[str, object]) -> None:
    whole, first = run_of(recipe(**changes)), run_of(recipe(**changes))
    told = [whole.advance() for _ in range(4)]
    first.advance(), first.advance()
    first.save(tmp_path / "c.pt")
    torch.manual_seed(12345)  # what others drew in between does not matter
    second = run_of(recipe(**changes))
    second.load(tmp_path / "c.pt")
    assert [second.advance(), second.advance()] == told[2:]
    assert torch.equal(weights(whole), weights(second))


def test_frozen_parts_stay_and_trained_parts_move() -> None:
    run = run_of()
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.advance()
    moved = {name for name, p in run.model.named_parameters() if not torch.equal(before[name], p)}
    assert moved <= set(run.model.trained())
    assert {"autoencoder.encoder.norm.weight", "bottleneck.core.quantiles"} <= moved
    assert "autoencoder.encoder.blocks.0.attn.qkv.weight" not in moved


def test_the_last_norm_goes_as_far_as_it_is_told() -> None:
    """At equal gradients Adam's first step is the rate: larger for the norm, and for nothing else."""
    moved = []
    for path in (None, 0.6 * recipe().schedule.steps):
        run = run_of(recipe(schedule__norm_path=path, schedule__peak_rate=6e-4, schedule__weight_decay=0.0))
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        run.advance()
        moved.append(
            {name: (p.detach() - before[name]).abs().max() for name, p in run.model.named_parameters()}
        )
    norm = "autoencoder.encoder.norm.weight"
    ratio = (moved[1][norm] / moved[0][norm]).item()
    assert ratio == pytest.approx(LARGEST_DENSITY_RATE / 6e-4, rel=1e-3)
    others = [name for name in run.model.trained() if ".encoder.norm." not in name]
    assert all(torch.equal(moved[0][name], moved[1][name]) for name in others)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"of": recipe(rate__weight=2.0)}, "another rate"),
        ({"of": recipe(seed=1)}, "another seed"),
        ({"start": "t"}, "another start"),
    ],
    ids=["recipe", "seed", "start"],
)
def test_a_checkpoint_of_another_run_is_refused_and_the_difference_named(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    run_of().save(tmp_path / "c.pt")
    with pytest.raises(InputError, match=named):
        run_of(**change).load(tmp_path / "c.pt")  # type: ignore[arg-type]


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    run_of().save(tmp_path / "c.pt")
    model, other = Nec2024(small()), views()
    other.pixels[:] *= 2
    with pytest.raises(InputError, match="another data"):
        Run(recipe(), model, Samples.of(other, model.encoder, 8), "s").load(tmp_path / "c.pt")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a checkpoint"):
        run_of().load(tmp_path / "c.pt")


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    run = run_of()
    with torch.no_grad():
        run.model.autoencoder.encoder.norm.weight[3] = float("nan")
    with pytest.raises(InternalError, match="not finite at step 0"):
        run.advance()


def test_the_loss_falls_on_views_that_can_be_learnt() -> None:
    run = run_of(recipe(schedule__steps=60, schedule__peak_rate=3e-3, rate__weight=1e4))
    told = [run.advance()["loss"] for _ in range(60)]
    assert sum(told[-10:]) < 0.8 * sum(told[:10])


def test_the_schedule_is_half_a_cosine_to_nothing_without_warmup() -> None:
    assert cosine(2.0, 0, 10) == 2.0
    assert cosine(2.0, 5, 10) == pytest.approx(1.0)
    assert cosine(2.0, 10, 10) == 0.0


def test_a_run_stops_in_time_goes_on_and_reports(tmp_path: Path) -> None:
    said: list[str] = []
    assert not train(run_of(), tmp_path, stop_after_s=0.0, tell=said.append)
    assert train(run_of(), tmp_path, report_every=1, tell=said.append)
    assert "train: resumed at step 0" in said
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["step"] == 4
    assert report["energy"]["cpu_s"] > 0
    assert report["energy"]["kg_co2e"] > 0
    assert report["trained"]["share"] < 1
    assert (tmp_path / CHECKPOINT).exists()
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == "step,loss,distortion,bits_per_element,rate"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]


def test_fp16_without_cuda_and_a_gpu_that_is_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="fp16"):
        run_of(recipe(precision="fp16"))
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailable, match="no CUDA"):
            run_of(recipe(device="cuda"))


def test_several_processes_without_fabric_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(__import__("sys").modules, "lightning_fabric", None)
    with pytest.raises(BackendUnavailable, match="Lightning Fabric"):
        Processes("cpu")


def test_the_start_trains_the_decoder_and_nothing_else(tmp_path: Path) -> None:
    autoencoder = small()
    samples, path = Samples.of(views(), autoencoder.of, 8), tmp_path / "start.pt"
    encoder = {k: v.clone() for k, v in autoencoder.encoder.state_dict().items()}
    make_start(recipe(), samples, autoencoder, path, lambda text: None)
    fresh = small()
    digest = load_start(recipe(), samples, fresh, path)
    assert all(torch.equal(v, fresh.encoder.state_dict()[k]) for k, v in encoder.items())
    assert not torch.equal(fresh.decoder.pred.weight, small().decoder.pred.weight)
    assert len(digest) == 64
    made = path.stat().st_mtime_ns
    make_start(recipe(), samples, small(), path, lambda text: None)
    assert path.stat().st_mtime_ns == made
    with pytest.raises(InputError, match="another mask"):
        load_start(recipe(schedule__mask=0.5), samples, small(), path)
    with pytest.raises(InputError, match="no start"):
        load_start(recipe(), samples, small(), tmp_path / "absent.pt")
