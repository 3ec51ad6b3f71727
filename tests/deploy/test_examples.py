"""The configs a reader starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config import load_config
from router.config.values import catalog_of, cold_start_of
from router.domain.errors import ConfigInvalid

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "examples").glob("*.yaml"))
ENV = dict.fromkeys(("OPENAI_API_KEY", "GROQ_API_KEY", "ANTHROPIC_API_KEY"), "made-up")


def test_there_is_one_for_the_cloud_and_one_for_this_machine() -> None:
    assert [path.name for path in EXAMPLES] == ["cloud.yaml", "local.yaml"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_is_well_formed_and_starts_cheap_first(path: Path) -> None:
    config = load_config(path, ENV)
    catalog = catalog_of(config)
    assert cold_start_of(config, catalog) == "cheap-then-reasoning"
    assert catalog.fallback == "fallback"


def test_the_local_one_needs_no_key() -> None:
    load_config(EXAMPLES[1], {})


def test_the_cloud_one_says_which_keys_it_needs() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(EXAMPLES[0], {})
    fixes = {problem.fix for problem in caught.value.problems}
    assert fixes == {f"set the environment variable {name}" for name in ENV}
