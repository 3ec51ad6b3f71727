"""Embeds prompts with a local model, which is fetched once and verified."""

import os

# onnxruntime reads this when it is imported, and reports to its vendor without it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
