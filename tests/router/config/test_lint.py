"""Configs that are well-formed and not meant: each doubt with its line, its key and its fix."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.config import doubts_of, load_config
from router.config.base_urls import is_public, url_doubts
from router.config.values import keys_of
from router.domain.errors import ConfigProblem

ROOT = Path(__file__).parents[3]
KEY = "sk-proj-0123456789"

GOOD_URLS = [
    ("openai", "https://api.openai.com/v1"),
    ("openai", "https://api.openai.com/v1/"),
    ("openai", "https://api.deepseek.com"),
    ("openai", "https://api.deepseek.com/v1"),
    ("openai", "https://api.perplexity.ai"),
    ("openai", "https://mine.openai.azure.com/openai/v1"),
    ("openai", "https://mine.openai.azure.com/openai/v1/"),
    ("openai", "https://mine.openai.azure.com/openai/deployments/x"),
    ("anthropic", "https://mine.services.ai.azure.com/anthropic"),
    ("openai", "https://api.groq.com/openai/v1"),
    ("openai", "https://generativelanguage.googleapis.com/v1beta/openai"),
    ("openai", "https://api.z.ai/api/paas/v4"),
    ("openai", "https://ark.cn-beijing.volces.com/api/v3"),
    ("openai", "https://models.github.ai/inference"),
    ("openai", "https://mine.cloud.databricks.com/serving-endpoints"),
    ("openai", "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"),
    ("openai", "https://gateway.ai.cloudflare.com/v1/account/gateway/compat"),
    (
        "openai",
        "https://us-aiplatform.googleapis.com/v1beta1/projects/p/locations/us/endpoints/openapi",
    ),
    ("openai", "http://127.0.0.1:11434/v1"),
    ("openai", "http://vllm:8000/v1"),
    ("anthropic", "https://api.anthropic.com"),
    ("anthropic", "https://api.deepseek.com/anthropic"),
    ("anthropic", "http://litellm:4000"),
    ("gemini", "https://generativelanguage.googleapis.com"),
    ("gemini", "http://gateway.local/gemini"),
]
DOUBTFUL_URLS = [
    ("openai", "https://api.openai.com", "write https://api.openai.com/v1:"),
    ("openai", "https://api.openai.com/v1/chat/completions", "write https://api.openai.com/v1:"),
    ("openai", "https://api.openai.com/v1/v1", "write https://api.openai.com/v1:"),
    ("openai", "https://api.groq.com/v1", "write https://api.groq.com/openai/v1:"),
    ("openai", "https://openrouter.ai/v1", "write https://openrouter.ai/api/v1:"),
    ("openai", "https://api.anthropic.com", "write https://api.anthropic.com/v1:"),
    (
        "openai",
        "https://generativelanguage.googleapis.com",
        "write https://generativelanguage.googleapis.com/v1beta/openai:",
    ),
    (
        "openai",
        "https://mine.openai.azure.com/openai/deployments/x/chat/completions",
        "write https://RESOURCE.openai.azure.com/openai/v1:",
    ),
    ("openai", "https://llm.example.org", "such as /v1"),
    ("openai", "https://llm.example.org/api", "such as /v1"),
    ("openai", "http://127.0.0.1:11434", "such as /v1"),
    ("openai", "http://127.0.0.1:11434/api/chat", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/chat/completions", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/chat/completions/", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/completions", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/models", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/responses", "before /chat/completions"),
    ("openai", "http://vllm:8000/v1/chat", "before /chat/completions"),
    ("openai", "https://eu-aiplatform.googleapis.com/v1", "write https://RESOURCE-aiplatform"),
    ("gemini", "https://aiplatform.googleapis.com/v1/projects/p", "write provider: openai"),
    ("openai", "http://vllm:8000/v1/v1", "each part of the path once"),
    ("openai", "http://vllm:8000//v1", "each part of the path once"),
    ("openai", "http://name@vllm:8000/v1", "before '@'"),
    ("anthropic", "https://api.anthropic.com/v1", "write https://api.anthropic.com: /v1/messages"),
    ("anthropic", "https://api.anthropic.com/v1/messages", "write https://api.anthropic.com:"),
    ("anthropic", "https://api.openai.com/v1", "write provider: openai"),
    ("anthropic", "http://litellm:4000/v1", "leave out the version"),
    ("anthropic", "http://litellm:4000/v1/messages", "before /v1/messages"),
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "write https://generativelanguage.googleapis.com: /v1beta",
    ),
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
        "write https://generativelanguage.googleapis.com:",
    ),
    ("gemini", "http://gateway.local/v1beta", "leave out the version"),
    ("gemini", "http://gateway.local/v1", "leave out the version"),
    ("gemini", "http://gateway.local/v1beta/models/m:generateContent", "before /v1beta/models"),
    ("gemini", "http://gateway.local/v1beta/models/m:streamGenerateContent", "before /v1beta"),
]


@pytest.mark.parametrize(("provider", "url"), GOOD_URLS)
def test_a_base_url_as_it_should_be_raises_no_doubt(provider: str, url: str) -> None:
    assert list(url_doubts(provider, url)) == []


@pytest.mark.parametrize(("provider", "url", "words"), DOUBTFUL_URLS)
def test_a_base_url_that_is_probably_wrong(provider: str, url: str, words: str) -> None:
    (fix,) = url_doubts(provider, url)
    assert words in fix


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("api.openai.com", True),
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("10.1.2.3", False),
        ("192.168.0.7", False),
        ("100.64.0.1", False),
        ("localhost", False),
        ("vllm", False),
        ("vllm.models.svc.cluster.local", False),
        ("host.docker.internal", False),
    ],
)
def test_hosts_of_the_internet(host: str, *, public: bool) -> None:
    assert is_public(host) is public


GOOD = {
    "provider": "openai",
    "model": "m",
    "base_url": "https://api.openai.com/v1",
    "api_key_env": "KEY",
    "price": "{input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.4}",
}


def doubts(
    folder: Path, options: dict[str, str], key: str = KEY, *, twice: bool = False
) -> list[ConfigProblem]:
    """Returns doubts about a deployment with these options beside the good ones."""
    lines = [f"        {name}: {text}\n" for name, text in (GOOD | options).items() if text]
    made = "".join(f"      - name: d{number}\n" + "".join(lines) for number in range(1 + twice))
    path = folder / "router.yaml"
    path.write_text(f"arms:\n  only:\n    deployments:\n{made}")
    env = {"KEY": key} if key else {}
    return doubts_of(load_config(path, env), path, env)


def prices(read: str, written: str) -> dict[str, str]:
    return {"price": f"{{input_usd_per_mtok: {read}, output_usd_per_mtok: {written}}}"}


def test_a_good_deployment_raises_no_doubt(tmp_path: Path) -> None:
    assert doubts(tmp_path, {}) == []


def test_a_doubt_names_file_line_and_key(tmp_path: Path) -> None:
    (doubt,) = doubts(tmp_path, {"base_url": "https://api.openai.com"})
    place = f"{tmp_path}/router.yaml:7: arms.only.deployments.0.base_url: "
    assert str(doubt).startswith(f"{place}write https://api.openai.com/v1")


PRIVATE = {"base_url": "http://vllm:8000/v1"}
HOST = {"base_url": "https://llm.example.org/v1"}
GEMINI = {"provider": "gemini", "base_url": ""}


@pytest.mark.parametrize(
    ("options", "key", "place", "words"),
    [
        ({"base_url": "http://llm.example.org/v1"}, KEY, "base_url", "https://"),
        (HOST | {"api_key_env": ""}, "", "api_key_env", "name the variable"),
        (HOST, f"'{KEY}'", "api_key_env", "quotes"),
        (HOST, f'"{KEY}"', "api_key_env", "quotes"),
        (HOST, f"{KEY}\\n", "api_key_env", "line ends"),
        (PRIVATE, f"Bearer:{KEY}", "api_key_env", "without Bearer"),
        (PRIVATE, f"OPENAI_API_KEY={KEY}", "api_key_env", "without the variable's name"),
        (PRIVATE, "${OPENAI_API_KEY}", "api_key_env", "placeholder"),
        (HOST, "<key>", "api_key_env", "placeholder"),
        (HOST, "your-api-key", "api_key_env", "placeholder"),
        (HOST, "sk-xxxx", "api_key_env", "placeholder"),
        ({}, "sk-ant-api03-0123", "api_key_env", "one of anthropic.com"),
        ({}, "gsk_0123456789", "api_key_env", "one of groq.com"),
        (GEMINI, KEY, "api_key_env", "one of openai.com"),
        ({"model": "' gpt-4o'"}, KEY, "model", "white space"),
        ({"model": "gpt 4o"}, KEY, "model", "white space"),
        ({"model": "openai/gpt-4o"}, KEY, "model", "leave out openai/"),
        (GEMINI | {"model": "models/gemini"}, "AIza0", "model", "leave out models/"),
        (
            {"provider": "gemini", "base_url": "http://gateway.local", "model": "models/gemini"},
            KEY,
            "model",
            "leave out models/",
        ),
        ({"limit_field": "max_new_tokens"}, KEY, "limit_field", "max_completion_tokens"),
        ({"base_url": "https://openrouter.ai/api/v1"}, "sk-or-1", "model", "COMPANY/MODEL"),
        (prices("0.00000015", "0.6"), KEY, "price.input_usd_per_mtok", "per million"),
        (prices("0.1", "0.0000006"), KEY, "price.output_usd_per_mtok", "per million"),
        (PRIVATE | prices("0.0025", "0.01"), KEY, "price.input_usd_per_mtok", "per million"),
        (
            PRIVATE | {"model": "gpt-4o"} | prices("0.03", "0.06"),
            KEY,
            "price.input_usd_per_mtok",
            "per million",
        ),
        (HOST | prices("15", "1500"), KEY, "price.output_usd_per_mtok", "not cents"),
        (HOST | prices("3", "0.1"), KEY, "price.output_usd_per_mtok", "never so cheap"),
        (HOST | prices("0", "0"), KEY, "price", "price list"),
        (
            HOST | prices("3", "15, cached_input_usd_per_mtok: 3.75"),
            KEY,
            "price.cached_input_usd_per_mtok",
            "never dearer",
        ),
        (
            HOST | prices("3", "15, cache_write_usd_per_mtok: 0.3"),
            KEY,
            "price.cache_write_usd_per_mtok",
            "never cheaper",
        ),
        (HOST | prices("1", "0"), KEY, "price", "price list"),
        ({"max_output_tokens": "128000"}, KEY, "max_output_tokens", "needs room"),
        ({"timeout_ms": "30"}, KEY, "timeout_ms", "milliseconds"),
    ],
)
def test_one_doubt_one_fix(
    tmp_path: Path, options: dict[str, str], key: str, place: str, words: str
) -> None:
    found = doubts(tmp_path, options, key)
    assert [each.key for each in found] == [f"arms.only.deployments.0.{place}"] * len(found)
    assert any(words in each.fix for each in found), found
    assert not key or all(key not in str(each) for each in found)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (PRIVATE | {"api_key_env": ""}, ""),
        (PRIVATE, "none"),
        (PRIVATE, KEY),
        (PRIVATE | {"model": "openai/gpt-oss-20b"}, KEY),
        (PRIVATE | prices("0", "0"), KEY),
        (HOST | prices("0.005", "0.01"), KEY),
        (HOST | {"model": "openai/gpt-oss-20b"} | prices("0.02", "0.1"), KEY),
        (HOST | prices("150", "600"), KEY),
        (HOST | prices("1", "1"), KEY),
        (HOST, "sk-ant-of-a-gateway"),
        (HOST | {"api_key_env": "", "headers": "{x-token: KEY}"}, KEY),
        ({"base_url": "https://openrouter.ai/api/v1", "model": "meta/llama"}, "sk-or-1"),
        (HOST | {"model": "meta/llama:free"} | prices("0", "0"), KEY),
    ],
)
def test_what_may_well_be_meant_raises_no_doubt(
    tmp_path: Path, options: dict[str, str], key: str
) -> None:
    assert doubts(tmp_path, options, key) == []


def test_prices_of_a_thousand_tokens_stand_out_where_the_model_is_known(tmp_path: Path) -> None:
    options = HOST | {"model": "Claude-Opus"} | prices("0.015", "0.075")
    keys = [each.key.rpartition(".")[2] for each in doubts(tmp_path, options)]
    assert keys == ["input_usd_per_mtok", "output_usd_per_mtok"]


def test_a_deployment_that_stands_there_twice(tmp_path: Path) -> None:
    (doubt,) = doubts(tmp_path, {}, twice=True)
    assert doubt.key == "arms.only.deployments.1.model"
    assert "d0 once more" in doubt.fix


@pytest.mark.parametrize("more", ["parameters: {reasoning_effort: high}", "alternate_roles: yes"])
def test_two_that_send_something_else_are_two(tmp_path: Path, more: str) -> None:
    path = tmp_path / "router.yaml"
    one = "{name: d%d, provider: openai, model: m, base_url: 'http://h/v1', %s price: %s}"
    made = ", ".join(
        one % (number, more, GOOD["price"]) for number, more in enumerate(["", f"{more},"])
    )
    path.write_text(f"arms: {{only: {{deployments: [{made}]}}}}")
    assert doubts_of(load_config(path, {}), path, {}) == []


@pytest.mark.parametrize("name", ["cloud", "local"])
def test_the_examples_raise_no_doubt(name: str) -> None:
    path = ROOT / f"deploy/examples/{name}.yaml"
    env = {
        "OPENAI_API_KEY": KEY,
        "GROQ_API_KEY": "gsk_0123456789",
        "ANTHROPIC_API_KEY": "sk-ant-0123456789",
    }
    config = load_config(path, env)
    assert bool(keys_of(config, env)) is (name == "cloud")
    assert doubts_of(config, path, os.environ | env) == []
