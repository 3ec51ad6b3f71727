"""The real model: what its embeddings must be like."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from router.adapters.embedding.bge import DIMENSIONS, BgeModel
from router.adapters.embedding.clip import MAX_CHARS
from router.adapters.embedding.files import TOKENIZER, WEIGHTS
from router.domain.errors import ModelCorrupt, ModelUnavailable

PARAPHRASES = [
    ("How do I sort a list in Python?", "What is the way to order a Python list?"),
    ("The train to Oslo is two hours late.", "The Oslo train has a delay of two hours."),
    ("Translate this letter into French.", "Please render the following letter in French."),
]


def test_an_embedding_has_unit_norm_and_the_documented_shape(model: BgeModel) -> None:
    for text in ("short", "", "emoji \U0001f600 and \u4e2d\u6587", "long " * 3000):
        embedding = model.embed(text)
        assert embedding.shape == (DIMENSIONS,)
        assert embedding.dtype == np.float32
        assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)


def test_paraphrases_are_closer_than_anything_unrelated(model: BgeModel) -> None:
    left = np.stack([model.embed(text) for text, _ in PARAPHRASES])
    right = np.stack([model.embed(text) for _, text in PARAPHRASES])
    cosines = left @ right.T
    paraphrases = np.diag(cosines)
    unrelated = cosines[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert paraphrases.min() > unrelated.max() + 0.15


def test_it_is_the_normalised_cls_state_of_what_the_tokenizer_s_own_template_makes(
    model: BgeModel, model_dir: Path
) -> None:
    text = "What is the capital of Norway?"
    session = ort.InferenceSession(model_dir / WEIGHTS.name)
    ids = np.array([Tokenizer.from_file(str(model_dir / TOKENIZER.name)).encode(text).ids])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    hidden = session.run(None, {**inputs, "token_type_ids": np.zeros_like(ids)})[0][0]
    cls, mean = hidden[0], hidden.mean(axis=0)
    embedding = model.embed(text)
    assert embedding @ cls / np.linalg.norm(cls) == pytest.approx(1.0, abs=1e-4)
    assert embedding @ mean / np.linalg.norm(mean) < 0.99


def test_every_thread_s_own_model_gives_the_same_bits(model_dir: Path, model: BgeModel) -> None:
    texts = [text for pair in PARAPHRASES for text in pair] * 2

    def embed_all(_: int) -> list[bytes]:
        own = BgeModel(model_dir)
        return [own.embed(text).tobytes() for text in texts]

    expected = [model.embed(text).tobytes() for text in texts]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(embed_all, range(3))) == [expected] * 3


@pytest.mark.parametrize("filler", [300, 50_000], ids=["over tokens", "over characters"])
def test_of_a_long_prompt_head_and_tail_count_and_the_middle_does_not(
    model: BgeModel, filler: int
) -> None:
    half = "red " * (filler // 2)
    base = model.embed(f"Sort a list. {half}{half}Answer in French.")
    other_tail = model.embed(f"Sort a list. {half}{half}Prove the lemma.")
    other_head = model.embed(f"Cook a soup. {half}{half}Answer in French.")
    other_middle = model.embed(f"Sort a list. {half}Prove the lemma. {half}Answer in French.")
    assert base @ other_tail < 0.99
    assert base @ other_head < 0.99
    assert np.array_equal(base, other_middle)


def test_a_prompt_of_megabytes_costs_no_more_than_one_at_the_limit(model: BgeModel) -> None:
    half = "a b " * (MAX_CHARS // 8)
    middle = "\ud800 secret " * 1_000_000
    assert np.array_equal(model.embed(half + middle + half), model.embed(f"{half} {half}"))


def test_a_lone_surrogate_is_read_as_a_question_mark(model: BgeModel) -> None:
    assert np.array_equal(model.embed("why\ud800"), model.embed("why?"))


def test_a_damaged_file_is_refused(damaged_dir: Path) -> None:
    with pytest.raises(ModelCorrupt, match=r"model_quantized\.onnx .* fetch-model"):
        BgeModel(damaged_dir)


def test_a_file_cut_short_is_refused(model_dir: Path, damaged_dir: Path) -> None:
    whole = (model_dir / TOKENIZER.name).read_bytes()
    (damaged_dir / WEIGHTS.name).write_bytes((model_dir / WEIGHTS.name).read_bytes())
    (damaged_dir / TOKENIZER.name).write_bytes(whole[:-1])
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        BgeModel(damaged_dir)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"model_quantized\.onnx.*fetch-model"):
        BgeModel(tmp_path)


def test_the_runtime_is_imported_with_its_telemetry_off() -> None:
    code = (
        "import os, sys, router.adapters.embedding as e\n"
        "assert 'onnxruntime' not in sys.modules and os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)  # noqa: S603 - ours
    assert done.returncode == 0
