"""Promises are kept where risks change, and on recorded answers."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from promises import CALIBRATED, MOST_BROKEN, REPLAYS, SETTINGS, Risk, play

from bandit.risk import Promise
from bench.lab.recorded import data_dir


def sudden(score: float, progress: float) -> float:
    return min(1.0, (0.1 if progress < 0.7 else 4.0) * (1 - score))


def gradual(score: float, progress: float) -> float:
    return min(1.0, (0.1 + 1.2 * progress) * (1 - score))


@pytest.mark.parametrize(("risk", "requests"), [(sudden, 1_100), (gradual, 1_400)])
@pytest.mark.slow
def test_promise_is_kept_under_drift(risk: Risk, requests: int) -> None:
    """The share of bad answers among all that were accepted, over the whole replay.

    Some 120 audits in good times are what it takes: a sudden change costs about 1 / 0.2 bad
    answers before the first of them is audited.
    """
    played = [play(seed, risk, requests, 0.2) for seed in range(REPLAYS)]
    assert sum(one.share > SETTINGS.max_bad for one in played) <= MOST_BROKEN
    assert np.mean([one.accepted for one in played]) >= 500


def test_without_audits_a_sudden_change_would_break_it() -> None:
    """The promise breaks without audits, so the test above can fail."""
    played = [play(seed, sudden, 1_100, 0.0) for seed in range(40)]
    assert np.mean([one.share > SETTINGS.max_bad for one in played]) >= 0.8


def answers() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return whether each answer of gpt_4o_mini is bad, and whether gemini15_flash agrees."""
    path = data_dir() / "gsm_answers.parquet"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {data_dir()}: set ROUTER_DATA_DIR to its directory")
    names = ["q_gpt_4o_mini", "ans_gpt_4o_mini", "ans_gemini15_flash"]
    quality, first, second = (column.to_pylist() for column in pq.read_table(path, columns=names))
    agree = [a == b for a, b in zip(first, second, strict=True)]
    return 1 - np.array(quality, dtype=np.float64), np.array(agree)


@pytest.mark.parametrize("agreeing", [True, False])
def test_promise_is_kept_on_recorded_answers(agreeing: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Accepting what two arms agree on is certified, accepting what one arm says is not.

    The risks are 0.019 and 0.058. Of each answer the score is the share of good ones among
    earlier ones that agree, or that differ: nothing is used before its time.
    """
    bad, agree = answers()
    shares, certified = [], 0
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(len(bad))[:900]
        seen, promise = np.array([[1.0, 10.0], [1.0, 10.0]]), Promise(SETTINGS)
        accepted = spoiled = 0.0
        for step, index in enumerate(order):
            kind = int(agree[index]) if agreeing else 0
            score = 1 - seen[kind, 0] / seen[kind, 1]
            if step >= CALIBRATED and promise.permits(score):
                accepted, spoiled = accepted + 1, spoiled + bad[index]
            promise.observe(score, bad[index])
            seen[kind] += (bad[index], 1.0)
        certified += accepted > 0
        shares.append(spoiled / max(accepted, 1.0))
    assert sum(share > SETTINGS.max_bad for share in shares) <= 0.05 * 40
    assert (certified >= 36) if agreeing else (certified <= 4)
