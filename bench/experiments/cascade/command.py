"""`scripts/bench cascade`: options, replays, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

from bench.experiments.cascade.plans import (
    RULES,
    Trio,
    by_price,
    check_arms,
    parsed,
    usual,
    variants_of,
)
from bench.experiments.cascade.replays import MEASURES, CascadeReplays, answers_of, open_texts
from bench.experiments.cascade.report import TIMES, draw_plots, markdown
from bench.lab import options
from bench.lab.figures import Figures, compare
from bench.lab.jobs import Job, replay_all
from bench.lab.recorded import BenchError
from bench.lab.report import runs_csv, write
from bench.lab.setup import PlanSpec, typical_usd
from bench.lab.streams import Stream, draw, known_streams, load_available

STREAM = "gsm_answers-5arms"
REQUESTS, QUICK_REQUESTS = 1_000, 300
SEEDS, QUICK_SEEDS = 10, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeOptions(options.ExperimentOptions):
    answers: bool
    first: str
    second: str
    strong: str
    plans: Sequence[str]
    audit_share: float
    max_bad: float | None
    confidence: float
    only: Sequence[str]


@click.command("cascade")
@options.FILE
@options.ARMS
@click.option(
    "--answers/--no-answers",
    default=True,
    show_default=True,
    help="text_<arm>, or ans_<arm> where there is no text; without: only gate rules",
)
@options.PROMPT_COLUMN
@options.WHERE
@click.option("--first", default="", help="arm that answers first [the dearest of the cheap]")
@click.option("--second", default="", help="arm asked for a second opinion [the cheapest other]")
@click.option("--strong", default="", help="arm escalated to [the dearest]")
@click.option(
    "--plan",
    "plans",
    multiple=True,
    help="one more, NAME=FIRST[+SECOND]>STRONG[:GATE]; gates: learned, agreement, rules",
)
@options.cost_weights(0.05, 0.1, 0.3, note="weight of one unit of cost against one unit of quality")
@options.seeds("[10, quick: 2]")
@click.option("--requests", type=click.IntRange(10), help="at most [1000, quick: 300]")
@click.option("--quick", is_flag=True, help="300 requests, two seeds")
@options.vw("on")
@options.CALIBRATE
@click.option(
    "--audit-share",
    default=0.0,
    type=click.FloatRange(0, 1),
    help="of accepted cheap answers, checked by the strong arm and charged",
)
@click.option(
    "--max-bad",
    type=click.FloatRange(1e-4, 0.5),
    help="promise: the share of accepted cheap answers that may be bad [none]",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    default=0.95,
    show_default=True,
    help="of --max-bad",
)
@click.option("--cost-factor", "factors", multiple=True, help="ARM=FACTOR on its recorded cost")
@options.DELAY
@options.FEEDBACK_SHARE
@options.COST_UNIT
@click.option("--only", multiple=True, help="variants whose name holds this [all]")
@options.JOBS
@options.out("bench-results/cascade")
def cascade(**given: Any) -> None:
    """Plans with a gate on recorded answers: each alone, and the default policy among them.

    Without --file: five models on gsm_answers. A request shows the replay the answers it called
    for and the quality of the one it served, nothing else.

    Arms take their places by price, for before anything is known of quality, dear stands for good:
    strong is the dearest arm; cheap are those that cost at most a tenth of it; first is the dearest
    of the cheap (the cheapest arm where none is), second the cheapest of the others.
    """
    asked = CascadeOptions(**given)
    stream = _load(asked)
    if stream is None:
        return
    answers = answers_of(stream.data, stream.spec.path.name) if asked.answers else {}
    factors = options.factors("--cost-factor", asked.factors, stream.data.arms)
    stream = _priced(stream, factors, asked.cost_unit_usd)
    todo = _jobs(asked, stream)
    terms = replace(asked.terms(), audit_share=asked.audit_share)
    pairs = {(s.first, s.second) for job in todo for s in job.variant.plans if s.second}
    done = replay_all(
        CascadeReplays,
        todo,
        asked.processes,
        {stream.spec.name: stream},
        terms,
        texts=open_texts(stream.data, answers, sorted(pairs)),
        answers={stream.spec.name: answers},
    )
    dearer = (f"cost of {arm} times {factor:g}" for arm, factor in factors.items())
    phrases = terms.phrases(*_promise_phrases(asked), *dearer)
    _write(done, stream, options.terms_line(phrases), asked)


def _load(asked: CascadeOptions) -> Stream | None:
    spec = asked.file_spec()
    if spec and len(spec.arms) == 1:
        raise BenchError("one arm leaves nobody to escalate to; name two or more in --arms")
    requests = asked.requests or (QUICK_REQUESTS if asked.quick else REQUESTS)
    spec = replace(spec or known_streams()[STREAM], requests=requests)
    found = load_available([spec], asked.cost_unit_usd, calibrate=asked.calibrate)
    return found.get(spec.name)


def _priced(stream: Stream, factors: Mapping[str, float], unit_usd: float | None) -> Stream:
    """Multiply recorded costs; the unit follows them unless it was given."""
    if not factors:
        return stream
    by = np.array([factors.get(arm, 1.0) for arm in stream.data.arms])
    data = replace(stream.data, cost_usd=stream.data.cost_usd * by)
    pool_usd = data.cost_usd[data.rows_where(stream.spec.where)].mean(axis=0)
    return replace(stream, data=data, unit_usd=unit_usd or float(pool_usd.max()))


def _jobs(asked: CascadeOptions, stream: Stream) -> list[Job]:
    """Seed by seed, so that what one seed needs is made once."""
    promise = {"max_bad_accept": asked.max_bad, "confidence": asked.confidence}
    policy = {"promise": promise} if asked.max_bad is not None else {}
    seeds = range(asked.seed_count(SEEDS, QUICK_SEEDS))
    specs = [_plans(asked, stream, seed) for seed in seeds]
    todo = [
        Job(stream.spec.name, weight, i, variant, seed)
        for seed in seeds
        for weight in asked.cost_weights
        for i, variant in enumerate(variants_of(stream.data.arms, specs[seed], asked.vw, policy))
        if not asked.only or any(part in variant.name for part in asked.only)
    ]
    if not todo:
        raise BenchError(f"no variant's name holds {' or '.join(asked.only)}; see a --quick run")
    return todo


def _plans(asked: CascadeOptions, stream: Stream, seed: int) -> list[PlanSpec]:
    """Returns the usual plans at the prices that the seed knows, and those given with --plan."""
    arms, wanted = stream.data.arms, Trio(asked.first, asked.second, asked.strong)
    check_arms((wanted.first, wanted.second, wanted.strong), arms, "a place")
    usd = typical_usd(stream, draw(stream, seed, asked.calibrate))
    given = [parsed(text, arms) for text in asked.plans]
    made = [*usual(by_price(arms, list(usd.values()), wanted), read=asked.answers), *given]
    names = [spec.name for spec in made]
    if len(set(names)) < len(names):
        raise BenchError(f"a plan's name is taken; choose others than {', '.join(names)}")
    if not asked.answers and any(spec.gate != RULES for spec in given):
        raise BenchError("with --no-answers there is nothing a gate could read: use gate rules")
    return made


def _write(done: Mapping[Job, Figures], stream: Stream, terms: str, asked: CascadeOptions) -> None:
    name, out = stream.spec.name, asked.out
    found = compare(done, {name: stream.data.arms})
    plans = list(dict.fromkeys(str(spec) for job in done for spec in job.variant.plans))
    text = markdown(found, {name: stream.unit_usd}, plans, terms)
    write(out, {"cascade.md": text, "runs.csv": runs_csv(done, "variant", MEASURES, TIMES)})
    draw_plots(found, out / f"{name}.png")
    click.echo(text)
    click.echo(f"written to {out}: cascade.md, runs.csv, {name}.png", err=True)


def _promise_phrases(asked: CascadeOptions) -> list[str]:
    if asked.max_bad is None:
        return []
    accepted = f"at most {asked.max_bad:.1%} of accepted answers bad"
    return [f"{accepted}, confidence {asked.confidence:g}"]
