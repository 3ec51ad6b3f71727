"""Conversations made of recorded rows: how they grow, what caches make of their bill, the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner, Result

from bench.experiments.conversations.bills import Market, serve
from bench.experiments.conversations.cells import Score, bar_of, score
from bench.experiments.conversations.choosers import (
    Beliefs,
    capped,
    first_kept,
    fixed,
    horizon,
    stay_or_switch,
)
from bench.experiments.conversations.command import conversations
from bench.experiments.conversations.marks import mark_of, marks_section, rule_of
from bench.experiments.conversations.products import OURS
from bench.experiments.conversations.runs import Scores
from bench.experiments.conversations.talks import Talks, draw_talks
from bench.experiments.conversations.terms import AGENTS, CHAT, rates_of, usd_per_token
from bench.lab.recorded import BenchError

ROWS = np.arange(400)
TASKS = np.repeat([0, 1, 2, 3], 100)
QUESTION = np.full(400, 50.0)
CHEAP, DEAR = 0, 1
USD = np.array([[1.0, 2.0, 0.1, 1.0], [10.0, 20.0, 1.0, 12.5]]) / 1e6


def drawn(seed: int = 0, turns: int = 6_000) -> Talks:
    return draw_talks(ROWS, TASKS, QUESTION, CHAT, turns=turns, seed=seed)


def test_the_same_seed_draws_the_same_conversations_and_another_one_others() -> None:
    one, again, other = drawn(), drawn(), drawn(seed=1)
    assert np.array_equal(one.row, again.row)
    assert np.array_equal(one.tokens, again.tokens)
    assert not np.array_equal(one.row, other.row)


def test_conversations_are_as_long_as_the_terms_say_and_grow_by_the_turn() -> None:
    talks = drawn()
    assert len(talks) == 6_000
    lengths = np.bincount(talks.conversation)[:-1]
    assert 5.3 < lengths.mean() < 6.7
    first = talks.turn == 0
    later = np.flatnonzero(~first)
    assert np.all(np.diff(talks.tokens)[later - 1] == CHAT.growth)
    begins = talks.tokens[first] - CHAT.prefix - 50
    assert 0.42 < (begins > 0).mean() < 0.58
    assert begins.min() == 0
    assert 7_000 < begins.max() <= CHAT.attached
    assert np.all(talks.at_s == talks.turn * CHAT.gap_s)


def test_a_conversation_stays_with_one_task() -> None:
    talks = drawn()
    pairs = set(zip(talks.conversation.tolist(), TASKS[talks.row].tolist(), strict=True))
    assert len(pairs) == talks.conversation[-1] + 1
    assert {task for _, task in pairs} == {0, 1, 2, 3}


def market(*tokens: float, gap_s: float = 30.0) -> Market:
    """Returns one conversation; answers of 10 tokens, the dear arm right, the cheap one half."""
    n = len(tokens)
    turn = np.arange(n)
    talks = Talks(
        conversation=np.zeros(n, dtype=np.intp),
        turn=turn,
        row=turn,
        tokens=np.array(tokens),
        at_s=turn * gap_s,
        task=np.zeros(n, dtype=np.intp),
        attached=np.zeros(n),
    )
    terms = replace(AGENTS, growth=1_000)
    quality = np.tile([0.5, 1.0], (n, 1))
    return Market(talks, terms, quality, np.full((n, 2), 10.0), USD)


def test_an_arm_that_answers_all_turns_pays_what_is_new_and_reads_the_rest() -> None:
    served = serve(market(2_000, 3_000, 4_000), fixed(DEAR))
    written, read, said = 12.5, 1.0, 10 * 20
    assert served.cost_usd * 1e6 == pytest.approx(
        [
            2_000 * written + said,
            1_000 * written + 2_000 * read + said,
            1_000 * written + 3_000 * read + said,
        ]
    )
    assert served.cached.tolist() == [0, 2_000, 3_000]
    assert not served.switched.any()


def test_a_cache_that_is_too_old_is_written_anew() -> None:
    served = serve(market(2_000, 3_000, gap_s=301), fixed(CHEAP))
    assert served.cached.tolist() == [0, 0]
    assert served.cost_usd[1] * 1e6 == pytest.approx(3_000 * 1 + 10 * 2)


def test_an_arm_that_comes_back_is_as_warm_as_it_was_left() -> None:
    arms = np.array([DEAR, CHEAP, DEAR])
    served = serve(market(2_000, 3_000, 4_000), lambda turn: arms[turn.index])
    assert served.cached.tolist() == [0, 0, 2_000]
    assert served.switched.tolist() == [False, True, True]
    assert served.cost_usd[2] * 1e6 == pytest.approx(2_000 * 12.5 + 2_000 * 1 + 10 * 20)


def test_the_bar_is_the_fixed_arm_that_is_best_on_the_second_half() -> None:
    made = market(2_000, 3_000, 4_000, 5_000)
    costs = serve(made, fixed(DEAR)).cost_usd
    bar = bar_of(made, 0.1)
    assert bar.unit_usd == pytest.approx(costs.mean())
    assert bar.arm == DEAR
    assert bar.reward == pytest.approx(1.0 - 0.1 * costs[2:].mean() / costs.mean())
    assert score(made, serve(made, fixed(DEAR)), bar, 0.1).gain == pytest.approx(0)


def beliefs(made: Market, quality: tuple[float, float] = (0.5, 1.0)) -> Beliefs:
    n = len(made.talks)
    return Beliefs(made, np.tile(quality, (n, 1)), np.full((n, 2), 10.0), rate=1.0)


def test_the_rule_leaves_a_pin_where_three_turns_save_more_than_the_new_cache_costs() -> None:
    wants = np.array([DEAR, CHEAP])
    # Nothing is added: with n tokens 3 · (n · .9 + 180) - n · .9 millionths of a USD are saved.
    for tokens, arm in ((300, CHEAP), (200, DEAR)):
        made = market(tokens, tokens)
        still = replace(made, terms=replace(made.terms, growth=0))
        rule = stay_or_switch(beliefs(still), lambda turn: wants[turn.index])
        assert serve(still, rule).arm.tolist() == [DEAR, arm]


def test_the_rule_always_follows_a_choice_of_a_better_tier() -> None:
    wants, made = np.array([CHEAP, DEAR]), market(50_000, 50_000)
    rule = stay_or_switch(beliefs(made), lambda turn: wants[turn.index])
    assert serve(made, rule).arm.tolist() == [CHEAP, DEAR]


def test_a_cap_lets_switches_spend_a_share_of_the_bill_of_never_switching() -> None:
    wants = np.array([DEAR, CHEAP, DEAR, CHEAP])
    made = market(10_000, 10_000, 10_000, 10_000)
    # The cheap arm must read 9,000 tokens anew that would have been cached: 8,100 millionths
    # beside the 125,200 of the first turn.
    for share, arms in ((0.06, [DEAR, DEAR, DEAR, CHEAP]), (0.07, [DEAR, CHEAP, DEAR, CHEAP])):
        rule = capped(beliefs(made), lambda turn: wants[turn.index], share)
        assert serve(made, rule).arm.tolist() == arms


def test_turns_ahead_lead_to_the_arm_that_is_cheap_to_stay_with() -> None:
    made = market(10_000, 11_000)
    # A first turn costs .01 and .125 USD, a later one about .002 and .023.
    known = replace(beliefs(made), rate=5.0)
    assert serve(made, horizon(known, 0)).arm[0] == CHEAP
    assert serve(made, horizon(known, 3)).arm[0] == DEAR
    assert serve(made, first_kept(horizon(known, 0))).arm.tolist() == [CHEAP, CHEAP]


def test_prices_are_read_and_completed_from_the_terms() -> None:
    rates = rates_of(("a", "gpt4_1106"), ["a=2,6,0.5"])
    usd = np.array(usd_per_token(("a", "gpt4_1106"), rates, AGENTS)) * 1e6
    assert usd.tolist() == [pytest.approx([2, 6, 0.5, 2.5]), pytest.approx([10, 30, 1, 12.5])]


@pytest.mark.parametrize("price", ["a", "a=1", "a=1,x", "b=1,2", "a=-1,2", "a=1,0", "a=1,2,3,4,5"])
def test_prices_that_cannot_be_read_are_refused(price: str) -> None:
    with pytest.raises(BenchError, match="--price"):
        rates_of(("a",), [price])


def test_an_arm_without_a_known_price_is_named() -> None:
    with pytest.raises(BenchError, match=r"no price is known of a; give --price a=IN,OUT"):
        rates_of(("a",), [])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny.keep_vectors()
    return tiny.write(tmp_path / "recorded.parquet", tiny.columns())


def bench(path: Path, *more: object) -> Result:
    prices = ("--price", "small=.1,.1", "--price", "large=2,4")
    given = ("--file", path, "--arms", "small,large", *prices, "--turns", 60, "--seeds", 1)
    return CliRunner().invoke(conversations, [str(a) for a in (*given, "--jobs", 1, *more)])


def test_the_command_writes_a_table_for_each_cell(path: Path, tmp_path: Path) -> None:
    more = ("--task-column", "kind", "--vw", "off", "--lambda", 0.1, "--out", tmp_path / "out")
    done = bench(path, *more)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "conversations.md").read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    for cell in ("chat, cached at 0.1", "chat, cached at 0.5", "agents, cached at 0.1"):
        assert text.count(f"recorded, {cell}, λ = 0.1") == 3
    for name in ("oracle, T = 3", "stay or switch, learned", "adaptive, no VW"):
        assert text.count(f"\n| {name} |") == 3


def score_of(gain: float) -> Score:
    return Score(gain, quality=0.8, cost_usd=0.01, switches=0.1, cached=0.5)


def scores(oracle: float, gain: float, rule: float) -> Scores:
    named = {"oracle, T = 1": oracle, "oracle, T = 3": oracle - 1, OURS: gain, rule_of(OURS): rule}
    return {name: score_of(value) for name, value in named.items()}


def test_marks_are_reached_or_missed_cell_by_cell() -> None:
    kept = mark_of("kept", [scores(0.02, 0.014, 0.01), scores(0.02, 0.016, 0.01)], OURS)
    assert kept.share == pytest.approx(0.75)
    assert kept.worst == pytest.approx(0.014)
    little = mark_of("little", [scores(0.02, 0.012, 0.015)], OURS)
    nothing = mark_of("nothing", [scores(0.002, -0.005, -0.02)], OURS)
    assert nothing.share is None
    lines = marks_section(OURS, [kept, little, nothing])
    ends = {row.split(" | ")[0].strip("| "): row.split(" | ")[-1] for row in lines if "|" in row}
    assert ends["kept"] == "yes |"
    assert ends["little"] == "MISSED: gain, rule |"
    assert ends["nothing"] == "MISSED: gain |"
    text = "\n".join(lines)
    assert "- MISSED: at least 70% of an oracle's gain of 0.01 or more: 1 of 2 cells" in text
    assert "- MISSED: at least -0.004 elsewhere: 0 of 1 cells" in text
    assert "- reached: at least +0.004 above the rule on the mean: +0.0057" in text


def test_a_column_of_tasks_that_is_not_there_is_refused(path: Path) -> None:
    done = bench(path)
    assert done.exit_code == 2
    assert "--task-column" in done.output
