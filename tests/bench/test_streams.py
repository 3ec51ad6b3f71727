"""Drawing a stream: shuffled by the seed, and no prompt of it looked at before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from bench.lab.made import MadeArm
from bench.lab.recorded import BenchError, data_dir
from bench.lab.streams import PRICE_SAMPLE, draw, known_streams, load, shortened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "a.parquet", tiny.columns())


def test_a_seed_gives_one_order_and_another_seed_another(path: Path) -> None:
    stream = tiny.stream(path, 100)
    first, again, other = (draw(stream, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.held_out, again.held_out)
    assert not np.array_equal(first.rows, other.rows)
    assert len(first.rows) == 100


def test_what_stands_aside_is_never_in_the_stream(path: Path) -> None:
    split = draw(tiny.stream(path, 100), 0)
    assert not set(split.rows) & set(split.held_out)
    assert len(split.held_out) == tiny.ROWS - 100
    assert len(split.priced) == min(PRICE_SAMPLE, tiny.ROWS - 100)


def test_a_prompt_recorded_twice_is_not_both_in_the_stream_and_aside(tmp_path: Path) -> None:
    found = tiny.columns()
    found["prompt"] = [f"prompt {i // 2}" for i in range(tiny.ROWS)]
    stream = tiny.stream(tiny.write(tmp_path / "a.parquet", found), 100)
    split = draw(stream, 0)
    prompts = stream.data.prompts
    assert not {prompts[i] for i in split.rows} & {prompts[i] for i in split.held_out}
    assert 0 < len(split.held_out) < tiny.ROWS - 100


def test_prompts_recorded_twice_take_nothing_from_what_is_kept_aside(tmp_path: Path) -> None:
    found = tiny.columns(1_200)
    found["prompt"] = [f"prompt {i // 2}" for i in range(1_200)]
    stream = tiny.stream(tiny.write(tmp_path / "a.parquet", found), 10_000)
    for calibrate, least in ((0, 256), (300, 300)):
        split = draw(stream, 0, calibrate)
        assert least <= len(split.held_out) < least + 20
        assert len(split.rows) > 300


def test_some_rows_stand_aside_also_when_all_are_asked_for(path: Path) -> None:
    assert len(draw(tiny.stream(path), 0).held_out) == tiny.ROWS // 2
    assert len(draw(tiny.stream(path, 10_000), 0).held_out) == 20
    assert len(draw(tiny.stream(path, 10_000), 0, calibrate=50).held_out) == 50


def test_rows_set_aside_by_a_condition_leave_the_stream_whole(path: Path) -> None:
    stream = tiny.stream(path, where=("fold!=0",), held_out=("fold==0",))
    split = draw(stream, 0)
    folds = np.arange(tiny.ROWS) % 4
    assert sorted(split.rows) == np.flatnonzero(folds != 0).tolist()
    assert sorted(split.held_out) == np.flatnonzero(folds == 0).tolist()


def test_more_calibration_than_there_are_rows_is_refused(path: Path) -> None:
    with pytest.raises(BenchError, match="fewer with --requests or --calibrate"):
        draw(tiny.stream(path), 0, calibrate=tiny.ROWS)
    with pytest.raises(BenchError, match="81 are wanted"):
        draw(tiny.stream(path, held_out=("fold==0",), where=("fold!=0",)), 0, calibrate=81)


def test_one_unit_is_the_dearest_arm_unless_it_is_given(path: Path) -> None:
    found = np.mean(tiny.columns()["c_large"])
    assert tiny.stream(path).unit_usd == pytest.approx(found)
    assert load(tiny.stream(path).spec, 0.5).unit_usd == 0.5


def test_a_condition_nothing_fits_is_refused(path: Path) -> None:
    with pytest.raises(BenchError, match=r"no row of a\.parquet fits kind==odd"):
        tiny.stream(path, where=("kind==odd",))


@pytest.mark.parametrize("name", sorted(known_streams()))
def test_the_known_streams_are_what_their_names_say(name: str) -> None:
    spec = known_streams()[name]
    if not spec.path.is_file():
        pytest.skip(f"no {spec.path.name} in {data_dir()}: set ROUTER_DATA_DIR")
    stream = load(spec)
    split = draw(stream, 0)
    wanted = {"paretobandit_k4": 1_824, "gsm_answers": 1_019}.get(name, spec.requests)
    if name == "routellm_mmlu-14000":
        assert 0.97 * 14_000 < len(split.rows) < 14_000
    else:
        assert wanted is None or len(split.rows) == wanted
    assert len(split.held_out) >= 256
    assert len(draw(stream, 0, calibrate=300).held_out) >= 300
    assert len(draw(load(shortened(spec, 50)), 0).rows) == 50


def test_a_made_arm_answers_as_the_one_or_the_other(path: Path) -> None:
    made = (MadeArm("mixed", "small", "large", 0.25, 2.0), MadeArm("same", "mixed", "mixed", 1, 1))
    data = tiny.stream(path, made=made).data
    assert data.arms == ("small", "large", "mixed", "same")
    small, large, mixed, same = data.quality.T
    hard = small != large
    assert 0.1 < (mixed == large)[hard].mean() < 0.4
    assert ((mixed == large) | (mixed == small)).all()
    usd = data.cost_usd
    np.testing.assert_allclose(usd[:, 2], 2 * (0.75 * usd[:, 0] + 0.25 * usd[:, 1]))
    np.testing.assert_array_equal(same, mixed)


def test_an_expert_answers_all_of_a_topic_alike(path: Path) -> None:
    made = MadeArm("a", "small", "large", 0.5, 1.0, by="fold")
    data = tiny.stream(path, made=(made,)).data
    small, large, expert = data.quality.T
    folds = np.array(data.columns.column("fold").to_pylist())
    as_large = [(expert == large)[(folds == fold) & (small != large)] for fold in (1, 3)]
    assert [len(set(found)) for found in as_large] == [1, 1]
    assert sorted(found[0] for found in as_large) == [False, True]
