"""A config becomes values of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandit.types import Units, Weights
from router.config import Config, parse_config
from router.config.values import (
    CAUTION,
    catalog_of,
    caution_of,
    cold_start_of,
    cut_off_by_drain,
    drain_ms_of,
    keys_of,
    units_of,
    weights_of,
)

ENV = {"CHEAP_KEY": "made-up-key"}
MINIMAL = """\
arms:
  cheap:
    deployments:
      - name: mini
        provider: openai
        model: small
        api_key_env: CHEAP_KEY
        price: {input_usd_per_mtok: 0.5, output_usd_per_mtok: 2}
  reasoning:
    deployments:
      - name: big
        provider: anthropic
        model: large
        price: {input_usd_per_mtok: 5, output_usd_per_mtok: 20}
"""
SPARE = """\
  fallback:
    deployments:
      - {name: spare, provider: gemini, model: other, price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}}
"""  # noqa: E501 - one line of YAML


def config(text: str) -> Config:
    return parse_config(text, "router.yaml", ENV)


def test_plans_are_made_from_the_arms_when_none_are_written() -> None:
    catalog = catalog_of(config(MINIMAL + SPARE))
    assert {name: plan.rungs for name, plan in catalog.plans.items()} == {
        "cheap": ("cheap",),
        "reasoning": ("reasoning",),
        "fallback": ("fallback",),
        "cheap-then-reasoning": ("cheap", "reasoning"),
    }
    assert catalog.fallback == "fallback"


def test_only_the_plans_that_are_written_count() -> None:
    catalog = catalog_of(config(MINIMAL + "plans: {dear: [reasoning]}\n"))
    assert list(catalog.plans) == ["dear"]
    assert catalog.fallback == ""


def test_a_prior_cost_weighs_each_rung_by_how_often_it_is_reached() -> None:
    typical = "policy: {typical_tokens: {input: 1000, output: 500}}\n"
    plans = catalog_of(config(MINIMAL + SPARE + typical)).plans
    cheap_usd, reasoning_usd = 0.0015, 0.015
    assert plans["cheap"].prior_cost_usd == pytest.approx(cheap_usd)
    assert plans["reasoning"].prior_cost_usd == pytest.approx(reasoning_usd)
    ladder_usd = cheap_usd + 0.3 * reasoning_usd
    assert plans["cheap-then-reasoning"].prior_cost_usd == pytest.approx(ladder_usd)
    assert 0 < plans["fallback"].prior_cost_usd < 1e-6


def test_defaults_of_protocol_and_path() -> None:
    by_name = {d.name: d for d in catalog_of(config(MINIMAL + SPARE)).deployments()}
    assert by_name["mini"].base_url == "https://api.openai.com/v1"
    assert by_name["big"].base_url == "https://api.anthropic.com"
    assert by_name["spare"].base_url == "https://generativelanguage.googleapis.com"


def test_a_base_url_of_ones_own_loses_its_last_slash_only() -> None:
    text = MINIMAL + "        base_url: http://127.0.0.1:8000/v1/\n"
    assert catalog_of(config(text)).arms["reasoning"].deployments[0].base_url == (
        "http://127.0.0.1:8000/v1"
    )


def test_the_cost_unit_is_the_dearest_plan_unless_written() -> None:
    plain = config(MINIMAL)
    assert units_of(plain, catalog_of(plain)) == Units(pytest.approx(0.01), 10_000.0)
    own = config(MINIMAL + "policy: {cost_unit_usd: 0.25, latency_unit_ms: 500}\n")
    assert units_of(own, catalog_of(own)) == Units(0.25, 500.0)


def test_cold_start_is_cheap_first() -> None:
    ladder = config(MINIMAL)
    assert cold_start_of(ladder, catalog_of(ladder)) == "cheap-then-reasoning"
    flat = config(MINIMAL + "plans: {r: [reasoning], c: [cheap]}\n")
    assert cold_start_of(flat, catalog_of(flat)) == "c"
    own = config(MINIMAL + "policy: {cold_start: reasoning}\n")
    assert cold_start_of(own, catalog_of(own)) == "reasoning"


def test_weights_pass_through() -> None:
    own = config(MINIMAL + "policy: {weights: {quality: 2, latency: 0.3}}\n")
    assert weights_of(own) == Weights(quality=2, cost=0.1, latency=0.3, failure=0.5)


def test_keys_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    found = keys_of(config(MINIMAL + f"        api_key_file: {file}\n"), ENV)
    assert found == {"mini": "made-up-key", "big": "from-a-file"}
    assert keys_of(config(MINIMAL), ENV) == {"mini": "made-up-key"}


def test_a_config_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config(MINIMAL).fallback = "cheap"  # type: ignore[misc]  # that is the point


def test_a_plan_is_a_list_of_arms_or_names_its_gate_and_second_opinion() -> None:
    written = """\
policy: {typical_tokens: {input: 1000, output: 500}}
plans:
  bare: [cheap, reasoning]
  ladder: {rungs: [cheap, reasoning]}
  checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}
"""
    priced = SPARE.replace("_mtok: 0", "_mtok: 1")
    plans = catalog_of(config(MINIMAL + priced + written)).plans
    told = {name: (plan.gate, plan.second, plan.is_judged) for name, plan in plans.items()}
    assert told == {
        "bare": ("rules", "", False),
        "ladder": ("learned", "", True),
        "checked": ("agreement", "fallback", True),
    }
    assert plans["checked"].arms == ("cheap", "reasoning", "fallback")
    dearer_usd = plans["checked"].prior_cost_usd - plans["ladder"].prior_cost_usd
    assert dearer_usd == pytest.approx(0.5 * 0.0015)


@pytest.mark.parametrize(
    ("policy", "spare"),
    [
        ("{}", {"cheap", "reasoning"}),
        ("{covered_arms: offered}", set()),
        ("{cold_start: cheap}", {"reasoning"}),
        ("{}\nchallengers: {other: {name: fixed, fixed: reasoning}}", {"cheap"}),
    ],
)
def test_an_arm_alone_is_spare_unless_it_is_named(policy: str, spare: set[str]) -> None:
    plans = catalog_of(config(f"{MINIMAL}policy: {policy}\n")).plans
    assert {name for name, plan in plans.items() if plan.spare} == spare


@pytest.mark.parametrize(
    ("checked", "caution"),
    [("[cheap, reasoning]", 0.0), ("{rungs: [cheap, reasoning], gate: learned}", CAUTION)],
)
def test_caution_is_for_a_start_at_a_plan_whose_gate_learns(checked: str, caution: float) -> None:
    parsed = config(f"{MINIMAL}plans: {{cheap: [cheap], checked: {checked}}}\n")
    catalog = catalog_of(parsed)
    assert cold_start_of(parsed, catalog) == "checked"
    assert caution_of(parsed, catalog) == caution


def test_a_drain_is_as_long_as_the_longest_call_unless_it_is_written() -> None:
    longest = MINIMAL + "        timeout_ms: 90000\n"
    assert drain_ms_of(config(MINIMAL)) == 65_000
    assert drain_ms_of(config(longest)) == 95_000
    assert cut_off_by_drain(config(longest)) == ""
    assert "of the start" in cut_off_by_drain(
        config(longest), 65_000
    )  # read anew with longer calls
    written = config(longest + "server: {drain_ms: 20000}\n")
    assert drain_ms_of(written) == 20_000
    assert "90000" in cut_off_by_drain(written)
    assert cut_off_by_drain(config(longest + "server: {drain_ms: 90000}\n")) == ""
