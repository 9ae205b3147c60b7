"""What an adapter costs: numbers that learn, bytes, operations and time: `python -m benchmarks.adapter_costs`.

    python -m benchmarks.adapter_costs                             # shares, bytes, operations; no weights are needed
    python -m benchmarks.adapter_costs --time                      # and time on this processor, one thread
    python -m benchmarks.adapter_costs --agreement ../shared/data  # and what 4 bits change in the answers of tokens

Shares are of ViT-L/16, as in the published table; bytes, operations and time of ViT-B/16 at 224×224 pixels (196 tokens),
ten bands, four adapted layers. Both have random weights: none of this depends on them. Agreement is of adapters that were
trained on the evidence tasks, of `rgb-small` and of a ViT-B/16 that was never pretrained; a token agrees where the head
gives it the same class with the adapter's tensors at 4 bits as with its own. Beside it: how many change without the adapter.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.adapter_tasks import TASKS, Task
from benchmarks.results import FOLDER, Row
from codec.adapt import Adapted, apply, base_of
from codec.adapt.cost import cost
from codec.adapt.deflect import Deflected
from codec.adapt.files import encode_adapter
from codec.adapt.packing import pack_state, unpack_state
from codec.adapt.training import Labelled, TaskRecipe, logits, train
from codec.adapt.types import METHODS
from codec.errors import SwathpackError
from codec.evaluate.rows import as_text, save
from codec.models.bands import S2_NANO_BANDS
from codec.models.foreign import build, read_layout
from codec.models.weights import load_encoder

SUITE = "adapters"
TEN = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
SIDE, LAYERS, ROUNDS, BATCH = 224, (0, 1, 2, 3), 15, 4
FORMS = ("folded", "stacked", "four-products")


def _random_vit(layout: str, device: str = "cpu", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    with torch.device(device):
        found = build(read_layout(layout))
    for value in found.parameters():
        if not value.is_meta:
            nn.init.normal_(value, std=0.02) if value.ndim > 1 else nn.init.constant_(value, 0.0)
    for name, value in found.named_parameters():
        if name.endswith("weight") and value.ndim == 1 and not value.is_meta:
            nn.init.ones_(value)
    return found.eval().requires_grad_(False)


def shares() -> Iterator[Row]:
    """Of ViT-L/16, whose memory is never asked for."""
    large = base_of(_random_vit("mae_vit_large_patch16", "meta"))
    for method in METHODS:
        adapted = apply(large, method, TEN)
        yield Row(SUITE, f"costs/ViT-L/16/{method}", "trained parameters", adapted.n_trained, unit="numbers")
        yield Row(
            SUITE, f"costs/ViT-L/16/{method}", "trained share", 100 * adapted.share, unit="% of the base"
        )


def _images(bands: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((BATCH, bands, SIDE, SIDE), generator=generator) * 0.4
    return pixels, torch.ones(BATCH, bands), torch.ones(BATCH, SIDE, SIDE)


def _started(encoder: nn.Module, method: str = "deflect", seed: int = 0) -> Adapted:
    """An adapter of ViT-B whose tensors are no longer the zeros that they begin with."""
    settings = {"layers": LAYERS} if method == "deflect" else {}
    adapted = apply(encoder, method, TEN, **settings)  # type: ignore[arg-type]
    if isinstance(adapted, Deflected):
        adapted.fit_statistics([_images(len(TEN), seed=7)])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in adapted.trained().values():
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    return adapted.eval()


def sizes_and_operations(encoder: nn.Module) -> Iterator[Row]:
    """Bytes of adapter files and operations of one image, ViT-B/16."""
    base = base_of(encoder)
    for method in ("deflect", "lora", "bitfit"):
        adapted = _started(encoder, method)
        case = f"costs/ViT-B/16/{method}"
        yield Row(SUITE, case, "trained share", 100 * adapted.share, unit="% of the base")
        for packing in (None, "int8", "int4"):
            size = len(encode_adapter(adapted, packing=packing))  # type: ignore[arg-type]
            yield Row(SUITE, case, f"file, {packing or 'float32'}", size, unit="B")
        for form in FORMS if isinstance(adapted, Deflected) else ("",):
            if isinstance(adapted, Deflected):
                adapted.use(form)  # type: ignore[arg-type]
            ratio = cost(adapted, base, SIDE, SIDE).ratio
            yield Row(SUITE, f"{case}/{form}".rstrip("/"), "operations", ratio, unit="ratio", rival="frozen")


@torch.no_grad()
def times(encoder: nn.Module) -> Iterator[Row]:
    """Processor time of a batch beside that of the frozen encoder on its own bands, both in every round."""
    base, adapted = base_of(encoder), _started(encoder)
    assert isinstance(adapted, Deflected)
    frozen = apply(base, "frozen", base.bands, inputs="own")
    own, all_bands = _images(len(base.bands)), _images(len(TEN))

    def seconds(module: Adapted, images: tuple[Tensor, Tensor, Tensor]) -> float:
        start = time.process_time()
        module(*images)
        return time.process_time() - start

    ratios: dict[str, list[float]] = {form: [] for form in FORMS}
    for number in range(ROUNDS + 1):
        alone = seconds(frozen, own)
        for form in FORMS:
            adapted.use(form)  # type: ignore[arg-type]
            ratio = seconds(adapted, all_bands) / alone
            if number:  # the first round warms up
                ratios[form].append(ratio)
    for form, found in ratios.items():
        rng = np.random.default_rng(0)
        drawn = np.median(rng.choice(found, (2000, len(found))), axis=1)
        low, high = np.percentile(drawn, (2.5, 97.5))
        yield Row(
            SUITE, f"costs/ViT-B/16/deflect/{form}", "time", float(np.median(found)), float(low), float(high),
            f"ratio, median of {ROUNDS} rounds of {BATCH} images [95% bootstrap of rounds]", "frozen", ROUNDS, threads=1,
        )  # fmt: skip


def _magnified(data: Labelled, side: int) -> Labelled:
    """Tiles as pictures of side×side pixels, for encoders of that size; labels of tokens stay as they are."""
    pixels = F.interpolate(torch.from_numpy(data.pixels), size=side, mode="bilinear", antialias=False)
    valid = F.interpolate(torch.from_numpy(data.validity[:, None].astype(np.float32)), size=side)[:, 0] > 0.5
    return Labelled(pixels.numpy(), data.present, valid.numpy(), data.labels, data.classes)


def agreement(data: Path, models: Path, steps: int) -> Iterator[Row]:
    """Adapters trained on whole tasks; their own tensors against those at 4 and 8 bits."""
    small = load_encoder(models / "rgb-small" / "encoder.safetensors")
    for name in TASKS:
        task = Task.read(name, data)
        adapted = apply(small, "deflect", S2_NANO_BANDS)
        yield from _agreed(f"rgb-small/{name}", adapted, task.data, TaskRecipe(steps=steps))
    # 128 pixels are 8×8 patches of 16: a token for each label.
    task = Task.read("water", data)
    base = base_of(_random_vit("mae_vit_base_patch16"))
    adapted = apply(base, "deflect", S2_NANO_BANDS, layers=LAYERS)
    recipe = TaskRecipe(steps=steps // 4, batch=8, rate=3e-3)
    yield from _agreed("ViT-B/16/water", adapted, _magnified(task.data, 128), recipe)


def _agreed(case: str, adapted: Adapted, data: Labelled, recipe: TaskRecipe) -> Iterator[Row]:
    head = train(adapted, data, recipe)
    head.pooled = False  # every token is asked, also where one answer a tile was learned
    own, state = logits(adapted, head, data).argmax(-1), adapted.state()
    # An adapter that changes no answer would agree with anything: U = 0 is the frozen encoder.
    without = {name: torch.zeros_like(v) if name.startswith("layers.") else v for name, v in state.items()}
    adapted.load_state(without)
    changed = logits(adapted, head, data).argmax(-1) != own
    yield Row(
        SUITE, f"costs/{case}/deflect", "tokens of another answer without the adapter", 100 * float(changed.mean()),
        unit="% of tokens, of the head that learned with it", n=int(changed.size), seeds="0",
    )  # fmt: skip
    for packing in ("int8", "int4"):
        packed, shapes = pack_state(state, packing)  # type: ignore[arg-type]
        adapted.load_state(unpack_state(packed, shapes, packing))  # type: ignore[arg-type]
        same = logits(adapted, head, data).argmax(-1) == own
        yield Row(
            SUITE, f"costs/{case}/deflect", f"tokens of the same answer, {packing}", 100 * float(same.mean()),
            unit=f"% of tokens; adapter trained for {recipe.steps} steps", n=int(same.size), seeds="0",
        )  # fmt: skip
        adapted.load_state(state)


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    yield from shares()
    encoder = _random_vit("mae_vit_base_patch16")
    yield from sizes_and_operations(encoder)
    if options.time:
        yield from times(encoder)
    if options.agreement:
        yield from agreement(options.agreement, options.models, options.steps)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, save; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapter_costs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--time", action="store_true", help="time on this processor")
    parser.add_argument("--agreement", type=Path, metavar="DATA", help="train on this data collection")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    parser.add_argument("--steps", type=int, default=200, help="of training, for the agreement")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args(arguments)
    try:
        torch.set_num_threads(1)
        rows = list(_rows(options))
        print(as_text(rows))
        save(rows, options.results, ("swathpack", "numpy", "torch"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
