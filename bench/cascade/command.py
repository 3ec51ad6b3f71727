"""`scripts/bench cascade`: what may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cascade.session import Asked, run


@click.command("cascade")
@click.option("--file", "path", type=click.Path(path_type=Path), help="another recorded set")
@click.option("--arms", default="", help="of --file: names of its q_ and c_ columns, by comma")
@click.option(
    "--answers/--no-answers",
    default=True,
    show_default=True,
    help="text_<arm>, or ans_<arm> where there is no text; without: only gate rules",
)
@click.option("--prompt-column", default="prompt", show_default=True, help="of --file")
@click.option("--where", multiple=True, help="of --file: column==value or column!=value")
@click.option("--first", default="", help="arm that answers first [the dearest of the cheap]")
@click.option("--second", default="", help="arm asked for a second opinion [the cheapest other]")
@click.option("--strong", default="", help="arm escalated to [the dearest]")
@click.option(
    "--plan",
    "plans",
    multiple=True,
    help="one more, NAME=FIRST[+SECOND]>STRONG[:GATE]; gates: learned, agreement, rules",
)
@click.option(
    "--lambda",
    "cost_weights",
    multiple=True,
    type=click.FloatRange(0, 10),
    default=(0.05, 0.1, 0.3),
    show_default=True,
    help="weight of one unit of cost against one unit of quality",
)
@click.option("--seeds", type=click.IntRange(1, 1_000), help="[10, quick: 2]")
@click.option("--requests", type=click.IntRange(10), help="at most [1000, quick: 300]")
@click.option("--quick", is_flag=True, help="300 requests, two seeds")
@click.option("--vw", type=click.Choice(["on", "off", "both"]), default="on", show_default=True)
@click.option("--calibrate", default=0, type=click.IntRange(0), help="prompts learned beforehand")
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
@click.option("--delay", default=0, type=click.IntRange(0), help="requests until one is learned")
@click.option("--feedback-share", default=1.0, type=click.FloatRange(0, 1), help="of requests")
@click.option(
    "--cost-unit-usd",
    type=click.FloatRange(0, min_open=True),
    help="[mean cost of the dearest arm]",
)
@click.option("--only", multiple=True, help="variants whose name holds this [all]")
@click.option("--jobs", type=click.IntRange(1, 256), help="processes [one per core]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-results/cascade"),
    show_default=True,
)
def cascade(**asked: Any) -> None:
    """Plans with a gate on recorded answers: each alone, and the default policy among them.

    Without --file: five models on gsm_answers. A request shows the replay the answers it called
    for and the quality of the one it served, nothing else.

    Arms take their places by price, for before anything is known of quality, dear stands for good:
    strong is the dearest arm; cheap are those that cost at most a tenth of it; first is the dearest
    of the cheap (the cheapest arm where none is), second the cheapest of the others.
    """
    run(Asked(**asked))
