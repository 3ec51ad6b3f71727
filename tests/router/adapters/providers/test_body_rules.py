"""What a deployment adds to its requests and leaves out: its config, its host, what was learned."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.gemini import Gemini
from router.adapters.providers.openai import OpenAI
from router.adapters.providers.sending.bodies import adjusted, headers_of, merge
from router.adapters.providers.sending.hosts import HOSTS, resolved
from router.adapters.providers.sending.rule_book import RuleBook
from router.adapters.providers.sending.stops import StopCut
from router.domain.catalog import BodyRules, Deployment, Price
from router.domain.chat import (
    ChatRequest,
    Format,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from router.domain.errors import ProviderRefusedRequest

USER = Message(Role.USER, (TextPart("Hi."),))
SAMPLING = Sampling(0.7, 0.9, 500, ("a", "b", "c", "d", "e", "f", "g"), 7)
CHAT = ChatRequest((USER,), sampling=SAMPLING)
OBJECT = '{"type": "object", "properties": {"a": {"type": "string"}}}'
AS_OBJECT = replace(CHAT, response_format=ResponseFormat(Format.JSON_OBJECT))
AS_SCHEMA = replace(CHAT, response_format=ResponseFormat(Format.JSON_SCHEMA, OBJECT))
CALLED = Message(Role.ASSISTANT, tool_calls=(ToolCall("1", "add", "{}"),))
RESULT = Message(Role.TOOL, (TextPart("2"),), tool_call_id="1")


def deployment(
    url: str = "http://localhost/v1", provider: str = "openai", **rules: Any
) -> Deployment:
    return Deployment("d", provider, url, "m", Price(1, 1), rules=BodyRules(**rules))


def body(url: str = "http://localhost/v1", chat: ChatRequest = CHAT, **rules: Any) -> Any:
    return OpenAI().body(resolved(deployment(url, **rules)), chat, stream=True)


def test_fields_are_renamed_then_left_out_then_merged_in() -> None:
    rules = BodyRules(
        omit=("temperature", "config.seed", "config.absent", "nothing.at.all"),
        parameters='{"config": {"thinking": {"on": true}}, "effort": "high", "list": [3]}',
        renamed=(("top", "p"),),
    )
    sent = {"temperature": 1, "top": 2, "list": [1, 2], "config": {"seed": 1, "thinking": {"n": 2}}}
    assert adjusted(sent, rules) == {
        "p": 2,
        "list": [3],
        "config": {"thinking": {"n": 2, "on": True}},
        "effort": "high",
    }


def test_an_object_left_empty_is_left_out() -> None:
    assert adjusted({"a": {"b": {"c": 1}}}, BodyRules(omit=("a.b.c",))) == {}


def test_merging_replaces_what_is_no_object_on_both_sides() -> None:
    assert merge({"a": 1, "b": {"c": 1}}, {"a": {"x": 1}, "b": 2}) == {"a": {"x": 1}, "b": 2}


def test_a_deployment_of_no_known_host_is_sent_everything() -> None:
    sent = body()
    assert sent["stop"] == list(SAMPLING.stop)
    assert (sent["max_tokens"], sent["seed"]) == (500, 7)
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("url", "has", "lacks"),
    [
        ("https://api.openai.com/v1", {"max_completion_tokens": 500}, "max_tokens"),
        ("https://eu.api.openai.com/v1", {"max_completion_tokens": 500}, "max_tokens"),
        ("https://r.openai.azure.com/openai/v1", {"max_completion_tokens": 500}, "max_tokens"),
        ("https://api.mistral.ai/v1", {"random_seed": 7, "max_tokens": 500}, "seed"),
        ("https://api.mistral.ai/v1", {"stream": True}, "stream_options"),
        ("https://api.groq.com/openai/v1", {"stop": ["a", "b", "c", "d"]}, "logprobs"),
        ("https://open.bigmodel.cn/api/paas/v4", {"stop": ["a"]}, "logprobs"),
    ],
)
def test_known_hosts(url: str, has: dict[str, Any], lacks: str) -> None:
    sent = body(url)
    assert has.items() <= sent.items()
    assert lacks not in sent


def test_the_config_wins_over_its_host() -> None:
    sent = body("https://api.openai.com/v1", limit_field="max_tokens", max_stops=6, omit=("seed",))
    assert sent["max_tokens"] == 500
    assert len(sent["stop"]) == 6
    assert "seed" not in sent
    assert "stream_options" in body("https://api.mistral.ai/v1", stream_usage=True)


def test_a_host_is_not_one_that_only_looks_like_it() -> None:
    for url in ("https://openai.com.evil.example/v1", "https://notopenai.com/v1"):
        assert resolved(deployment(url)).rules == BodyRules()


def test_rules_are_of_hosts_for_their_protocol_only() -> None:
    """A row can be checked at a glance: a host or a pattern of one, and a protocol."""
    assert all(row.rules != BodyRules() for row in HOSTS)
    assert resolved(deployment("https://api.mistral.ai", "anthropic")).rules == BodyRules(
        max_temperature=1.0
    )


def test_azure() -> None:
    """The key goes into its own header; paths with a deployment's name carry a version."""
    old = resolved(deployment("https://r.openai.azure.com/openai/deployments/gpt"))
    path = OpenAI().path(old, stream=False)
    assert path == "/chat/completions?api-version=2024-10-21"
    own = OpenAI().headers("key-1")
    assert headers_of(own, old.rules, "key-1", {"x-title": "t"}) == {
        "api-key": "key-1",
        "x-title": "t",
    }
    new = resolved(deployment("https://r.openai.azure.com/openai/v1"))
    assert OpenAI().path(new, stream=False) == "/chat/completions"


def test_json_where_a_schema_is_not_taken() -> None:
    sent = body("https://api.deepseek.com", AS_SCHEMA)
    assert sent["response_format"] == {"type": "json_object"}
    assert OBJECT in sent["messages"][0]["content"]


def test_the_word_that_servers_want_beside_any_json() -> None:
    assert "JSON" in body(chat=AS_OBJECT)["messages"][0]["content"]
    said = replace(AS_OBJECT, messages=(Message(Role.USER, (TextPart("As Json!"),)),))
    assert len(body(chat=said)["messages"]) == 1


@pytest.mark.parametrize("schema", ["true", '{"type": "array"}', '{"anyOf": [{}]}'])
def test_a_schema_of_no_object_is_asked_for_in_words(schema: str) -> None:
    chat = replace(CHAT, response_format=ResponseFormat(Format.JSON_SCHEMA, schema))
    sent = body(chat=chat)
    assert "response_format" not in sent
    assert schema in sent["messages"][0]["content"]


@pytest.mark.parametrize(("strict", "sent"), [(None, False), (True, True), (False, False)])
def test_strict_mode_as_configured(*, strict: bool | None, sent: bool) -> None:
    form = body(chat=AS_SCHEMA, strict_schema=strict)["response_format"]["json_schema"]
    assert form["strict"] is sent


# Thinking at Anthropic's.


def thinking(chat: ChatRequest, budget: int = 2_048) -> Any:
    parameters = f'{{"thinking": {{"type": "enabled", "budget_tokens": {budget}}}}}'
    here = resolved(deployment(provider="anthropic", parameters=parameters))
    return Anthropic().body(here, chat, stream=False)


def limited(tokens: int, chat: ChatRequest = CHAT) -> ChatRequest:
    return replace(chat, sampling=replace(SAMPLING, max_output_tokens=tokens))


def test_thinking_goes_without_temperature() -> None:
    sent = thinking(limited(4_096))
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    assert "temperature" not in sent
    assert "top_p" not in sent


def test_thinking_keeps_within_the_limit_that_the_budget_pays() -> None:
    assert thinking(limited(2_048))["thinking"]["budget_tokens"] == 1_024
    assert thinking(limited(6_000), 8_192)["thinking"]["budget_tokens"] == 3_000
    short = thinking(limited(1_024))
    assert "thinking" not in short
    assert short["max_tokens"] == 1_024
    assert short["temperature"] == 0.7


def test_thinking_gives_way_to_what_the_caller_asks_for() -> None:
    forced = ChatRequest((USER,), (Tool("add"),), ToolChoice(ToolMode.REQUIRED))
    assert "thinking" not in thinking(limited(4_096, forced))
    answered = ChatRequest((USER, CALLED, RESULT), (Tool("add"),))
    assert "thinking" not in thinking(limited(4_096, answered))


# Learned.


def refusal(parameter: str, instead: str = "", *, unsupported: bool = True) -> Any:
    error = ProviderRefusedRequest("refused", status=400, parameter=parameter)
    error.unsupported, error.instead = unsupported, instead
    return error


def learned(
    error: ProviderRefusedRequest, chat: ChatRequest = CHAT, provider: str = "openai", **rules: Any
) -> Any:
    """Returns the body that is sent after a refusal, None where nothing was learned."""
    dialect = {"openai": OpenAI(), "anthropic": Anthropic(), "gemini": Gemini()}[provider]
    book, configured = RuleBook(), deployment(provider=provider, **rules)
    known = book[configured]
    sent = dialect.body(known, chat, stream=True)
    again = book.learn(known, chat, sent, error)
    if again is not None:
        book.keep(known, again, error)
        assert book[configured] == again
    return again and dialect.body(again, chat, stream=True)


@pytest.mark.parametrize("name", ["temperature", "top_p", "seed"])
def test_a_draw_of_another_kind_is_no_other_question(name: str) -> None:
    assert name in body()
    assert name not in learned(refusal(name))


@pytest.mark.parametrize(
    "name", ["seed", "generationConfig.seed", "generation_config.seed", "generationConfig.topP"]
)
def test_names_as_a_provider_writes_them(name: str) -> None:
    sent = learned(refusal(name), provider="gemini")
    assert name.rpartition(".")[2] not in sent["generationConfig"]


def test_the_limit_by_its_other_name() -> None:
    assert learned(refusal("max_tokens"))["max_completion_tokens"] == 500
    told = learned(refusal("max_tokens", "max_completion_tokens"))
    assert told["max_completion_tokens"] == 500
    back = learned(refusal("max_completion_tokens"), limit_field="max_completion_tokens")
    assert back["max_tokens"] == 500


def test_stops_are_cut_here() -> None:
    assert "stop" not in learned(refusal("stop"))
    assert "stop_sequences" not in learned(refusal("stop_sequences"), provider="anthropic")


def test_usage_is_not_asked_for() -> None:
    assert "stream_options" not in learned(refusal("stream_options"))
    assert "stream_options" not in learned(refusal("stream_options.include_usage"))


def test_a_format_is_asked_for_in_words() -> None:
    first = learned(refusal("response_format"), AS_SCHEMA)
    assert first["response_format"] == {"type": "json_object"}
    assert OBJECT in first["messages"][0]["content"]
    other = learned(refusal("response_format.type"), AS_OBJECT)
    assert "response_format" not in other
    assert "JSON" in other["messages"][0]["content"]


@pytest.mark.parametrize(
    "name", ["messages", "model", "tools", "tools[0].function", "tool_choice", "stream", "", "x"]
)
def test_what_makes_the_request_is_never_left_out(name: str) -> None:
    chat = ChatRequest((USER,), (Tool("add"),), ToolChoice(ToolMode.REQUIRED), sampling=SAMPLING)
    for provider in ("openai", "anthropic", "gemini"):
        assert learned(refusal(name), chat, provider) is None


def test_what_the_operator_set_stays() -> None:
    assert learned(refusal("temperature"), parameters='{"temperature": 1}') is None


def test_a_wrong_value_of_a_field_teaches_nothing() -> None:
    assert learned(refusal("temperature", unsupported=False)) is None


def test_calls_under_way_learn_from_one_another() -> None:
    """The second refusal of two requests written alike finds the lesson of the first."""
    book, configured = RuleBook(), deployment()
    known = book[configured]
    sent = OpenAI().body(known, CHAT, stream=False)
    first = book.learn(known, CHAT, sent, refusal("seed"))
    assert first is not None
    book.keep(known, first, refusal("seed"))
    assert book.learn(known, CHAT, sent, refusal("seed")) == first
    # By the new rules the field is not sent: naming it again teaches nothing.
    sent = OpenAI().body(first, CHAT, stream=False)
    assert book.learn(first, CHAT, sent, refusal("seed")) is None


def test_a_lesson_is_told_once_without_a_provider_s_words(caplog: pytest.LogCaptureFixture) -> None:
    book, configured = RuleBook(), deployment()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):  # a server that takes neither name of the limit
            for name in ("max_tokens", "max_completion_tokens"):
                known, error = book[configured], refusal(name)
                sent = OpenAI().body(known, CHAT, stream=False)
                learned = book.learn(known, CHAT, sent, error)
                assert learned is not None
                book.keep(known, learned, error)
    assert [record.getMessage() for record in caplog.records] == [
        "a field is refused by d: limit_field: max_completion_tokens from here on",
        "a field is refused by d: limit_field: max_tokens from here on",
    ]


def test_two_lessons_at_once_are_both_kept() -> None:
    book, configured = RuleBook(), deployment()
    known = book[configured]
    sent = OpenAI().body(known, CHAT, stream=False)
    for name in ("seed", "top_p"):
        again = replace(known, rules=replace(known.rules, omit=(name,)))
        book.keep(known, again, refusal(name))
    assert book[configured].rules.omit == ("seed", "top_p")
    assert {"seed", "top_p"} <= {*sent}


def test_a_refusal_of_one_value_says_nothing_of_other_requests() -> None:
    book, configured = RuleBook(), deployment()
    known, error = book[configured], refusal("temperature")
    error.lasting = False
    again = book.learn(known, CHAT, OpenAI().body(known, CHAT, stream=False), error)
    assert again is not None
    assert again.rules.omit == ("temperature",)
    book.keep(known, again, error)
    assert book[configured] == known


# Stop sequences.


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one END two", "one "),
        ("one EN", "one EN"),
        ("one ENEND", "one EN"),
        ("END", ""),
        ("a\n\nb", "a"),
        ("a\nb", "a\nb"),
        ("both END and \n\n", "both "),
    ],
)
def test_a_text_is_cut_however_it_comes(text: str, said: str, size: int) -> None:
    cut = StopCut(("END", "\n\n"))
    pieces = [cut.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + cut.rest() == said
    assert cut.stopped is (text != said)
