"""BGE-small-en-v1.5 on one CPU thread: text in, sentence embedding out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from router.adapters.embedding.clip import MAX_CHARS, clip_tokens
from router.adapters.embedding.files import TOKENIZER, WEIGHTS, read_verified
from router.domain.chat import head_and_tail
from router.domain.errors import ModelCorrupt, ModelUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DIMENSIONS: Final = 384
_ONLY_FATAL: Final = 4

# Ids of the special tokens in the pinned tokenizer.
_CLS: Final = 101
_SEP: Final = 102


class BgeModel:
    """One model session. Threads may share it: each embeds on its own core.

    The embedding is the hidden state of the CLS token, L2-normalised, as the model's card
    prescribes. Prompts are embedded one by one: the int8 weights quantise activations per call,
    so a batch would let a prompt's neighbours change its embedding.
    """

    def __init__(self, model_dir: Path) -> None:
        """Load and verify the model in `model_dir`.

        Raises:
            ModelCorrupt: a file is not the pinned one, or the runtime cannot load it.
            ModelUnavailable: a file is missing.

        """
        weights = read_verified(model_dir, WEIGHTS)
        vocabulary = read_verified(model_dir, TOKENIZER)
        try:
            self._session = ort.InferenceSession(
                weights, _options(), providers=["CPUExecutionProvider"]
            )
            self._tokenizer = Tokenizer.from_buffer(vocabulary)
        except Exception:  # noqa: BLE001 - both drivers raise bare Exception subclasses
            raise ModelCorrupt(
                "the installed onnxruntime or tokenizers cannot load the embedding model; "
                "install the versions this package asks for"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed at most 256 tokens, head and tail of a longer text (see `clip`).

        Returns shape (384,), unit L2 norm.

        Raises:
            ModelUnavailable: the runtime failed on this text.

        """
        # A lone surrogate is legal in str but not in the UTF-8 the tokenizer works on.
        readable = head_and_tail(text, MAX_CHARS).encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(readable, add_special_tokens=False).ids
        return self._hidden([_CLS, *clip_tokens(ids), _SEP])

    def _hidden(self, tokens: list[int]) -> NDArray[np.float32]:
        ids = np.array([tokens], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        try:
            (hidden,) = self._session.run(None, inputs)
        except Exception:  # noqa: BLE001 - the runtime raises bare Exception subclasses
            raise ModelUnavailable("the embedding model failed on this prompt") from None
        return _unit(hidden[0, 0])


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    return options


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
