"""`scripts/bench routing`: options, replays, tables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from bandit import POLICY_NAMES, BanditError
from bandit.frontier import apgr, cpt
from bandit.settings import EvidenceUse, check_bounds
from bench.experiments.routing.report import RECOVERED, TIMES, draw_plots, markdown
from bench.experiments.routing.variants import variants_of
from bench.lab import options
from bench.lab.embeddings import origin
from bench.lab.figures import Figures, Outcomes, compare, figures, outcomes, second_half
from bench.lab.jobs import Job, ReplayFactory, ReplayTerms, replay_all, run_stream
from bench.lab.recorded import BenchError
from bench.lab.replay import ReplayRun
from bench.lab.report import runs_csv, write
from bench.lab.setup import config_of, example_texts
from bench.lab.streams import (
    TUNING,
    Stream,
    StreamSpec,
    draw,
    known_streams,
    load_available,
    shortened,
)

QUICK_STREAMS = ("paretobandit_k4", "routellm_pair-3000")
QUICK_REQUESTS, QUICK_SEEDS, SEEDS = 600, 2, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyComparisonOptions(options.ExperimentOptions):
    policies: Sequence[str]
    options: Sequence[str]
    evidence: Sequence[str]
    shipped_map: bool
    buy_ahead: float


@click.command("routing")
@click.option(
    "--stream",
    "names",
    multiple=True,
    type=click.Choice(tuple(known_streams())),
    help="[all but those for tuning]",
)
@options.FILE
@options.ARMS
@options.PROMPT_COLUMN
@options.WHERE
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(POLICY_NAMES),
    help="[all but those for tuning]",
)
@options.cost_weights(0.1, 0.3, note="weight of one unit of cost against one unit of quality")
@options.seeds("[20, quick: 2]")
@click.option("--requests", type=click.IntRange(10), help="at most, per stream")
@click.option("--quick", is_flag=True, help="two streams, 600 requests, two seeds")
@options.vw("both")
@click.option("--set", "options", multiple=True, help="KEY=VALUE of the config's policy section")
@click.option(
    "--evidence", multiple=True, help="KEY=VALUE of bandit.settings.EvidenceUse, as in margin=0"
)
@options.CALIBRATE
@click.option(
    "--buy-ahead",
    type=click.FloatRange(0),
    default=0.0,
    help="buy evidence on the stream, charged, with so many requests expected to come",
)
@options.DELAY
@options.FEEDBACK_SHARE
@click.option("--prior-factor", "factors", multiple=True, help="ARM=FACTOR: a wrong price prior")
@options.COST_UNIT
@click.option(
    "--shipped-map", is_flag=True, help="the package's context map, not one fitted to the source"
)
@options.JOBS
@options.out("bench-results/routing")
def routing(**given: Any) -> None:
    """Policies on recorded outcomes: quality, cost and regret, against fixed arms and their mixes.

    Without options: every known stream and policy, 20 seeds; some hours on two cores. What a stream
    came to is written down before the next begins.
    """
    asked = PolicyComparisonOptions(**given)
    streams = _load(asked)
    if not streams:
        return
    arms = list(dict.fromkeys(arm for stream in streams.values() for arm in stream.data.arms))
    factors = options.factors("--prior-factor", asked.factors, arms)
    terms = replace(
        asked.terms(),
        prior_factors=factors,
        shipped_map=asked.shipped_map,
        buy_ahead=asked.buy_ahead,
    )
    told, use = _pairs("--set", asked.options), _checked(_pairs("--evidence", asked.evidence))
    todo = {name: _jobs(asked, stream, told, use) for name, stream in streams.items()}
    texts, text = _examples(streams, todo), ""
    done: dict[Job, Figures] = {}
    for name, stream in streams.items():
        done |= replay_all(
            RoutingReplays, todo[name], asked.processes, {name: stream}, terms, texts=texts
        )
        ended = {n: s for n, s in streams.items() if todo[n][0] in done}
        so_far = f" So far: {len(ended)} of {len(streams)} streams." * (len(ended) < len(streams))
        text = _write(done, ended, terms, _terms_line(terms, told, use) + so_far, asked)
    click.echo(text)
    click.echo(f"written to {asked.out}: routing.md, runs.csv, a PNG per stream", err=True)


def _load(asked: PolicyComparisonOptions) -> dict[str, Stream]:
    """Known streams that are absent or too short are skipped."""
    requests = asked.requests or (QUICK_REQUESTS if asked.quick else None)
    specs = [shortened(spec, requests) for spec in _specs(asked)]
    unit_usd, known = asked.cost_unit_usd, asked.path is None
    return load_available(specs, unit_usd, calibrate=asked.calibrate, skip_short=known)


def _specs(asked: PolicyComparisonOptions) -> list[StreamSpec]:
    if spec := asked.file_spec():
        return [spec]
    known = known_streams()
    usual = [name for name in known if not name.endswith(TUNING)]
    return [known[name] for name in asked.names or (QUICK_STREAMS if asked.quick else usual)]


def _pairs(option: str, given: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals:
            raise BenchError(f"{option} {pair!r} is not KEY=VALUE, as in initial_pulls=8")
        found[key] = yaml.safe_load(text)
    return found


def _checked(use: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        check_bounds(EvidenceUse(**use), "evidence")
    except (TypeError, BanditError) as error:
        raise BenchError(f"--evidence is refused: {error}") from None
    return use


def _jobs(
    asked: PolicyComparisonOptions, stream: Stream, told: Mapping[str, Any], use: Mapping[str, Any]
) -> list[Job]:
    """Seed by seed, so that what one seed needs is made once."""
    names = asked.policies or POLICY_NAMES
    each = [v for name in names for v in variants_of(name, asked.vw, told, stream.data)]
    compared = [replace(variant, evidence=use) for variant in each]
    return [
        Job(stream.spec.name, weight, i, variant, seed)
        for seed in range(asked.seed_count(SEEDS, QUICK_SEEDS))
        for weight in asked.cost_weights
        for i, variant in enumerate(compared)
    ]


def _examples(streams: Mapping[str, Stream], todo: Mapping[str, Sequence[Job]]) -> list[str]:
    """Returns the example texts of all configs."""
    every = [job for jobs in todo.values() for job in jobs]
    configs = (config_of(streams[job.stream], job.variant, job.cost_weight) for job in every)
    return list(dict.fromkeys(text for config in configs for text in example_texts(config)))


class RoutingReplays(ReplayFactory):
    """Runs one job after the other."""

    def run(self, job: Job) -> Figures:
        stream, terms = self.material.streams[job.stream], self.material.terms
        split = draw(stream, job.seed, terms.calibrate)
        run = asyncio.run(run_stream(self.build(job, split), split, job.seed, terms))
        known = outcomes(stream, split.rows, job.cost_weight)
        unit = job.cost_weight / stream.unit_usd
        return routing_figures(known, run, stream.data.arms, utility_per_usd=unit)


def routing_figures(
    known: Outcomes, run: ReplayRun, arms: Sequence[str], *, utility_per_usd: float = 0.0
) -> Figures:
    n, k = known.reward.shape
    counts = np.bincount(run.arm, minlength=k) / n
    half, served = second_half(n), known.of(run.arm)
    charged = replace(
        served,
        cost_usd=served.cost_usd + run.evidence_usd,
        reward=served.reward - utility_per_usd * run.evidence_usd,
    )
    return figures(
        known,
        charged,
        dict(zip(arms, counts.tolist(), strict=True)),
        run.us,
        recovered(known.part(half), run.worth[half]) if k == len(("weak", "strong")) else {},
    )


def recovered(known: Outcomes, worth: NDArray[np.float32]) -> dict[str, float | None]:
    """RunScore a router of two arms by their worth; None where both are equally good."""
    strong = int(known.quality.mean(axis=0).argmax())
    score = worth[:, strong] - worth[:, 1 - strong]
    better, worse = known.quality[:, strong], known.quality[:, 1 - strong]
    if better.sum() == worse.sum():
        return dict.fromkeys(RECOVERED)
    thresholds = [cpt(score, worse, better, target) for target in (0.5, 0.8)]
    return dict(zip(RECOVERED, [apgr(score, worse, better), *thresholds], strict=True))


def _write(
    done: Mapping[Job, Figures],
    streams: Mapping[str, Stream],
    terms: ReplayTerms,
    said: str,
    asked: PolicyComparisonOptions,
) -> str:
    """Write everything `done`, and the pictures of the last stream. Returns the tables."""
    origins = {
        name: origin(draw(stream, 0, terms.calibrate), shipped=terms.shipped_map)
        for name, stream in streams.items()
    }
    found = compare(done, {name: stream.data.arms for name, stream in streams.items()})
    units_usd = {name: stream.unit_usd for name, stream in streams.items()}
    text, last = markdown(found, units_usd, origins, said), list(streams)[-1]
    write(asked.out, {})
    draw_plots([one for one in found if one.stream == last], asked.out / f"{last}.png")
    runs = runs_csv(done, "policy", RECOVERED, TIMES)
    write(asked.out, {"routing.md": text, "runs.csv": runs})
    return text


def _terms_line(terms: ReplayTerms, told: Mapping[str, Any], use: Mapping[str, Any]) -> str:
    factors = [f"price prior of {arm} times {f:g}" for arm, f in terms.prior_factors.items()]
    settings = [f"policy.{key} = {value}" for key, value in told.items()]
    settings += [f"evidence.{key} = {value}" for key, value in use.items()]
    return options.terms_line([*terms.phrases(), *factors, *settings])
