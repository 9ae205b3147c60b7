"""What is stored of an adapter, and what is refused when it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from codec.adapt import METHODS, apply
from codec.adapt.adapted import weights_sha256
from codec.adapt.registry import base_of
from codec.adapt.types import (
    SETTINGS,
    DeflectSettings,
    Method,
    NormSwitches,
    Settings,
    UattSwitches,
    overridden,
    settings_of,
)
from codec.errors import IdentityError, InputError
from tests.adapt.small_bases import BANDS, CASES, SWITCHES, LoopStatistics, batch_of, kicked, own_encoder


def adapter(method: Method, encoder: Any = None, **settings: Any) -> Any:
    if method == "deflect":
        settings = {"uatt__rank": 5, "statistics": LoopStatistics(len(BANDS), 4), **settings}
    if method in ("lora", "slr"):
        settings = {"rank": 3, **settings}
    return apply(encoder or own_encoder(), method, BANDS, **settings)


@pytest.mark.parametrize("inputs", ["repeat", "rgb+random"])
@pytest.mark.parametrize("method", METHODS)
def test_settings_and_state_make_the_same_adapter_again(method: Method, inputs: str) -> None:
    extra = {} if method == "deflect" else {"inputs": inputs, "seed": 3}
    first = kicked(adapter(method, **extra))
    if method == "deflect":
        first.upe.statistics.centre.fill_(0.27)
    stored = first.settings.model_dump_json(), {k: v.clone() for k, v in first.state().items()}
    again = adapter(method, **{**extra, "seed": 9})  # other first weights: all must come from the state
    again.settings = settings_of(method, json.loads(stored[0]))
    again.load_state(stored[1], first.base_sha256)
    assert torch.equal(again(*batch_of())["tokens"], first(*batch_of())["tokens"])
    assert settings_of(method, json.loads(stored[0])) == first.settings


@pytest.mark.parametrize("method", METHODS)
def test_the_state_holds_nothing_of_the_base(method: Method) -> None:
    found = adapter(method)
    expected = found.n_trained + (1 if method == "deflect" else 0)  # one buffer of the stand-in statistics
    assert sum(value.numel() for value in found.state().values()) == expected
    assert list(found.state()) == sorted(found.state())


def test_the_state_holds_filters_that_were_drawn() -> None:
    found = adapter("norm", inputs="rgb+random")
    assert {f"live.encoder.{n}" for n in ("stem.weight", "texture.weight", "presence.weight")} <= set(
        found.state()
    )


@pytest.mark.parametrize("kind", SETTINGS.values(), ids=lambda kind: kind.__name__)
def test_settings_survive_json(kind: type[Settings]) -> None:
    settings = kind()
    assert kind.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
def test_every_switch_survives_json(switches: dict[str, Any]) -> None:
    settings = overridden(DeflectSettings(), {**switches, "layers": (2, 0)}, "deflect")
    assert DeflectSettings.model_validate_json(settings.model_dump_json()) == settings
    assert switches == {} or settings != overridden(DeflectSettings(), {"layers": (2, 0)}, "deflect")


def test_overrides_change_single_values_of_a_group_and_leave_the_others() -> None:
    start = DeflectSettings(uatt=UattSwitches(value_aux=False), norm=NormSwitches(per="head"))
    for given in ({"uatt__rank": 7}, {"uatt": {"rank": 7}}):
        found = overridden(start, given, "deflect")
        assert found == start.model_copy(update={"uatt": UattSwitches(rank=7, value_aux=False)})
    whole = overridden(start, {"uatt": UattSwitches(rank=7)}, "deflect")
    assert whole == start.model_copy(update={"uatt": UattSwitches(rank=7)})


def test_an_adapter_of_another_base_is_refused_by_hash() -> None:
    mine, other = adapter("deflect"), own_encoder()
    other.norm.bias.data[0] += 1e-3
    stranger = adapter("deflect", other)
    assert stranger.base_sha256 != mine.base_sha256
    with pytest.raises(IdentityError, match=r"another base.*load the encoder"):
        stranger.load_state(mine.state(), mine.base_sha256)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s: s.pop("layers.0.up_q"), "layers.0.up_q is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra is no part"),
        (lambda s: s.update({"layers.0.up_q": torch.zeros(4, 24)}), "another shape"),
        (lambda s: s.update({"layers.0.up_q": torch.full((5, 24), float("nan"))}), "not finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name_and_changes_nothing(spoil: Any, says: str) -> None:
    found = kicked(adapter("deflect"))
    state = {name: torch.zeros_like(value) for name, value in found.state().items()}
    spoil(state)
    before = found(*batch_of())["tokens"]
    with pytest.raises(InputError, match=says):
        found.load_state(state)
    assert torch.equal(found(*batch_of())["tokens"], before)


def test_the_hash_of_weights_depends_on_every_tensor_and_name() -> None:
    encoder = own_encoder()
    seen = {weights_sha256(encoder)}
    assert weights_sha256(own_encoder()) in seen
    for name, value in encoder.state_dict().items():
        value.view(-1)[-1] += 1.0
        seen.add(weights_sha256(encoder))
        assert len(seen) > 1, name
        value.view(-1)[-1] -= 1.0
    assert len(seen) == len(encoder.state_dict()) + 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown band": ({"bands": (*BANDS, "purple")}, "unknown band purple.*w0705"),
    "missing own band": ({"bands": ("nir", "red", "green")}, "lack blue"),
    "band twice": ({"bands": (*BANDS, "nir")}, "named twice"),
    "rank": ({"uatt__rank": 25}, "rank 25 exceeds the width.*1 to 24"),
    "rank of low-rank updates": ({"lora_rank": 25}, "rank 25 exceeds"),
    "layer": ({"layers": (0, 2)}, "no block 2.*0 to 1"),
    "no layer": ({"layers": ()}, "names no layer"),
    "layer twice": ({"layers": (1, 1)}, "twice"),
    "unknown switch": ({"uatt__ranks": 3}, "uatt.ranks"),
    "unknown group": ({"uat__rank": 3}, "no setting uat__rank"),
    "unknown value": ({"norm__where": "between"}, "norm.where"),
    "diff that never learns": ({"uatt__stream": "diff"}, "add_to_stream"),
    "one number, normalised": ({"uatt__ln_aux": True, "uatt__rank": 1}, "one number is always 0"),
    "seed beyond every generator": ({"seed": 1 << 64}, "seed"),
    "heads after the projection": ({"norm__where": "post", "norm__per": "head"}, "no heads"),
}


@pytest.mark.parametrize(("given", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_is_refused_with_its_name(given: dict[str, Any], says: str) -> None:
    values = {"bands": BANDS, "statistics": LoopStatistics(len(BANDS), 4), "uatt__rank": 5, **given}
    with pytest.raises(InputError, match=says):
        apply(own_encoder(), "deflect", **values)


def test_unknown_methods_encoders_and_side_inputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"ia3.*deflect"):
        apply(own_encoder(), "ia3", BANDS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Linear"):
        apply(torch.nn.Linear(2, 2), "lora", BANDS)
    with pytest.raises(InputError, match="gsd_m"):
        base_of(own_encoder(), gsd_m=10.0)
    with pytest.raises(InputError, match="needs gsd_m"):
        base_of(CASES["Scale-MAE"].encoder())
    with pytest.raises(InputError, match="takes no gsd_m"):
        base_of(CASES["MAE"].encoder(), gsd_m=10.0)
    with pytest.raises(InputError, match="no settings of lora"):
        apply(own_encoder(), "lora", BANDS, DeflectSettings())


@pytest.mark.parametrize("method", METHODS)
def test_pixels_of_another_number_of_bands_are_refused(method: Method) -> None:
    pixels, present, validity = batch_of()
    with pytest.raises(InputError, match="N×5×H×W in the order nir"):
        adapter(method)(pixels[:, :4], present[:, :4], validity)


@pytest.mark.parametrize("method", METHODS)
def test_presence_and_validity_of_other_pixels_are_refused(method: Method) -> None:
    pixels, present, validity = batch_of()
    found = adapter(method)
    with pytest.raises(InputError, match="presence or validity do not fit"):
        found(pixels, present[:, :3], validity)
    with pytest.raises(InputError, match="presence or validity do not fit"):
        found(pixels, present, validity[:, :8])
    for other in (1, len(pixels) + 1):
        with pytest.raises(InputError, match=f"of N = {len(pixels)}"):
            found(pixels, present[:1].expand(other, -1), validity)
        with pytest.raises(InputError, match=f"of N = {len(pixels)}"):
            found(pixels, present, validity[:1].expand(other, -1, -1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", ["pixels", "present", "validity"])
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.bool])
def test_numbers_of_another_kind_are_refused_with_the_remedy(
    kind: torch.dtype, part: str, method: Method
) -> None:
    batch = dict(zip(("pixels", "present", "validity"), batch_of(), strict=True))
    batch[part] = batch[part].to(kind)
    found = adapter(method)
    with pytest.raises(
        InputError, match=rf"{part} .*torch.float32, found {kind}.*{part}.to\(torch.float32\)"
    ):
        found(*batch.values())
    with torch.autocast("cpu", torch.bfloat16):  # which converts
        assert found(*batch_of())["tokens"].isfinite().all()


def test_settings_that_contradict_each_other_are_not_repeated_in_the_refusal() -> None:
    with pytest.raises(InputError) as caught:
        apply(own_encoder(), "deflect", BANDS, norm__where="post", norm__per="head")
    assert str(caught.value) == (
        "deflect: norm: after the output projection there are no heads: use where=pre or per=token"
    )


@pytest.mark.parametrize("case", CASES)
def test_pixels_of_another_size_are_refused(case: str) -> None:
    base = base_of(CASES[case].encoder(), **CASES[case].side)
    n = len(base.bands)
    with pytest.raises(InputError, match=r"do not fit|multiples"):
        base(torch.zeros(1, n, 12, 14), torch.ones(1, n), torch.ones(1, 12, 14))


def test_deflect_says_why_it_cannot_be_merged() -> None:
    with pytest.raises(InputError, match="depends on the pixels"):
        adapter("deflect").merged()


def test_bands_beyond_the_registry_are_named_by_wavelength() -> None:
    bands = ("blue", "green", "red", *(f"w{nm:04d}" for nm in range(400, 2500, 20)))
    found = apply(own_encoder(), "deflect", bands, statistics=LoopStatistics(len(bands), 4), uatt__rank=5)
    tokens = found(torch.rand(1, len(bands), 12, 12), torch.ones(1, len(bands)), torch.ones(1, 12, 12))[
        "tokens"
    ]
    assert len(bands) > 100
    assert tokens.shape == (1, 3, 3, 24)
