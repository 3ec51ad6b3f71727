"""The words that servers have for why an answer ended, for counts, and for where those stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from router.domain.chat import FinishReason


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENDS: Final = {
    FinishReason.STOP: _names(
        "stop endturn stopsequence stopsequences stopsequencereached stopstringfound stopword"
        " eos eostoken eosfound endoftext complete completed normal pauseturn"
    ),
    FinishReason.LENGTH: _names(
        "length maxtokens maxtoken maxlength maxnewtokens maxoutputtokens maxcompletiontokens"
        " maxoutput maximumtokens maxpredictedtokensreached maxtokensreached modellength limit"
        " tokenlimit timelimit errorlimit contextlength contextlengthreached"
        " contextwindowexceeded contextlengthexceeded modelcontextwindowexceeded"
    ),
    FinishReason.TOOL_CALLS: _names("toolcalls toolcall tooluse functioncall functioncalls"),
    FinishReason.CONTENT_FILTER: _names(
        "contentfilter contentfiltered filtered filter refusal guardrailintervened guardrails"
        " safety recitation blocklist prohibitedcontent spii language modelarmor"
        " imagesafety imageprohibitedcontent imagerecitation sensitive errortoxic blocked"
        " moderation contentpolicy contentpolicyviolation"
    ),
}
ENDS_BY_NAME: Final = {name: reason for reason, names in _ENDS.items() for name in names}
UNTOLD_ENDS: Final = _names("null none nil unspecified notfinished inprogress undefined")
INTERRUPTED: Final = re.compile(
    "error|network|resource|abort|cancel|fail|timeout|timedout|overload|unavailable|unload"
    "|ratelimit"
)


def _each(meaning: str, names: str) -> Iterator[tuple[str, str]]:
    for name in names.split():
        head, *rest = name.split("_")
        yield name, meaning
        yield head + "".join(map(str.title, rest)), meaning


# Beside the input: cache, written; the parts of the latter. Within it: cached, stored.
COUNTS: Final = dict(
    [
        *_each("prompt", "prompt_tokens prompt_token_count prompt_eval_count tokens_evaluated"),
        *_each("prompt", "num_input_tokens num_prompt_tokens"),
        *_each("input", "input_tokens input_token_count prompt_n"),
        *_each("cache", "cache_read_input_tokens cache_read_input_token_count cache_n"),
        *_each("written", "cache_creation_input_tokens cache_write_input_tokens"),
        *_each("written", "cache_write_input_token_count"),
        *_each("written_5m", "ephemeral_5m_input_tokens"),
        *_each("written_1h", "ephemeral_1h_input_tokens"),
        *_each("cached", "cached_tokens prompt_cache_hit_tokens cached_content_token_count"),
        *_each("cached", "cached_prompt_text_tokens num_cached_tokens"),
        *_each("stored", "cache_write_tokens cache_creation_tokens"),
        *_each("used", "tool_use_prompt_token_count"),
        *_each("output", "completion_tokens output_tokens output_token_count eval_count"),
        *_each("output", "generated_tokens tokens_predicted num_output_tokens predicted_n"),
        *_each("output", "candidates_token_count completion_token_count generated_token_count"),
        *_each("thoughts", "thoughts_token_count"),
        *_each("reasoning", "reasoning_tokens thinking_tokens"),
        *_each("total", "total_tokens total_token_count"),
    ]
)
PLACES: Final = _names(
    "usage usageMetadata usage_metadata x_groq x_usage meta metadata metrics message delta response"
    " billed_units billedUnits tokens token_usage tokenUsage timings details"
    " completion_tokens_details completionTokensDetails output_tokens_details outputTokensDetails"
    " prompt_tokens_details promptTokensDetails input_tokens_details inputTokensDetails"
    " cache_creation cacheCreation amazon-bedrock-invocationMetrics"
)
COUNTED: Final = PLACES.union(COUNTS)
