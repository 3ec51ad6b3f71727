"""What a deployment may add to its requests, and what is refused with a fix."""

from __future__ import annotations

import pytest

from router.config import parse_config
from router.config.values import catalog_of, headers_of
from router.domain.catalog import BodyRules
from tests.router.config.test_mistakes import only_problem, problems

ENV = {"TITLE": "My app", "KEY": "made-up-key", "BLANK": "a\nb", "PADDED": " x "}


def deployment(options: str, provider: str = "openai") -> str:
    return f"""\
arms:
  cheap:
    deployments:
      - name: mini
        provider: {provider}
        model: m
        price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
        {options}
"""


def fix(options: str, provider: str = "openai") -> tuple[str, str]:
    problem = only_problem(deployment(options, provider), ENV)
    assert problem.line == 8
    return problem.key.removeprefix("arms.cheap.deployments.0."), problem.fix


def test_every_option_reaches_the_deployment() -> None:
    text = deployment(
        "limit_field: max_completion_tokens\n        omit: [temperature, a.b]\n"
        "        stream_usage: no\n        strict_schema: yes\n        max_stops: 0\n"
        "        max_temperature: 1.5\n        call_id_length: 9\n        alternate_roles: yes\n"
        "        parameters: {effort: high, thinking: {budget_tokens: 1024}}"
    )
    (made,) = catalog_of(parse_config(text, "x", ENV)).deployments()
    assert made.rules == BodyRules(
        limit_field="max_completion_tokens",
        omit=("temperature", "a.b"),
        parameters='{"effort": "high", "thinking": {"budget_tokens": 1024}}',
        stream_usage=False,
        strict_schema=True,
        max_stops=0,
        max_temperature=1.5,
        call_id_length=9,
        alternate_roles=True,
    )
    assert hash(made)


def test_headers_come_from_the_environment() -> None:
    config = parse_config(deployment("headers: {X-Title: TITLE, authorization: KEY}"), "x", ENV)
    assert headers_of(config, ENV) == {
        "mini": {"x-title": "My app", "authorization": "made-up-key"}
    }


@pytest.mark.parametrize(
    ("options", "key", "told"),
    [
        ("headers: {x-title: My app}", "headers.x-title", "NAME of an environment variable"),
        ("headers: {x-title: UNSET}", "headers.x-title", "set the environment variable UNSET"),
        ("headers: {x-title: BLANK}", "headers.x-title", "one line of printable ASCII"),
        ("headers: {x-title: PADDED}", "headers.x-title", "without spaces around it"),
        ("headers: {Host: TITLE}", "headers.Host", "the router's client sets it"),
        ("headers: {content-length: KEY}", "headers.content-length", "client sets it"),
        ("headers: {Connection: KEY}", "headers.Connection", "client sets it"),
        ("headers: {'a b': KEY}", "headers.a b", "name of an HTTP header"),
        ("parameters: {model: x}", "parameters.model", "the router fills it in"),
        ("parameters: {stream: yes}", "parameters.stream", "the router fills it in"),
        ("parameters: {max_tokens: 5}", "parameters.max_tokens", "the router fills it in"),
        (
            "parameters: {generationConfig: {candidateCount: 2}}",
            "parameters.generationConfig.candidateCount",
            "the router fills it in",
        ),
        ("parameters: {since: 2026-01-01}", "parameters", "values that JSON has"),
        ("parameters: {ratio: .nan}", "parameters", "values that JSON has"),
        (f"parameters: {{a: {'x' * 9_000}}}", "parameters", "at most 8192 characters"),
        ("omit: [messages]", "omit.0", "keep it"),
        ("omit: [max_tokens]", "omit.0", "limit_field"),
        ("omit: [stop]", "omit.0", "max_stops: 0"),
        ("omit: ['a b']", "omit.0", "name of a field"),
        ("limit_field: 'max tokens'", "limit_field", "name of a field"),
    ],
)
def test_what_is_refused(options: str, key: str, told: str) -> None:
    found, said = fix(options)
    assert found == key
    assert told in said


def test_a_key_stands_in_one_place() -> None:
    text = deployment("api_key_env: KEY\n        headers: {Authorization: KEY}")
    (problem,) = problems(text, ENV)
    assert problem.key.endswith("headers.Authorization")
    assert "api_key_env" in problem.fix


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
def test_options_of_another_protocol(provider: str) -> None:
    assert fix("limit_field: max_tokens", provider)[0] == "limit_field"


def test_a_secret_among_the_parameters_is_seen() -> None:
    found, said = fix("parameters: {metadata: {key: sk-abcdefghijklmnop}}")
    assert found == "parameters.metadata.key"
    assert "sk-" not in said


def test_a_mistake_in_strict_schema_is_named_once() -> None:
    assert fix("strict_schema: maybe") == ("strict_schema", "write one of 'auto', True or False")
    for word, meant in (("yes", True), ("no", False), ("auto", None)):
        text = deployment(f"strict_schema: {word}")
        (made,) = catalog_of(parse_config(text, "x", ENV)).deployments()
        assert made.rules.strict_schema is meant


@pytest.mark.parametrize(
    ("parameters", "omitted"),
    [("{seed: 3}", "seed"), ("{generationConfig: {seed: 3}}", "generationConfig.seed")],
)
def test_a_field_is_added_or_left_out_but_not_both(parameters: str, omitted: str) -> None:
    problem = only_problem(deployment(f"parameters: {parameters}\n        omit: [{omitted}]"), ENV)
    assert problem.key.endswith("omit.0")
    assert problem.fix == "write a field in omit or in parameters, not in both"
