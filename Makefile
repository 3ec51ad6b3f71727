.PHONY: setup lint check test demo docs bench

setup:
	scripts/setup dev
lint:
	.venv/bin/ruff format . && .venv/bin/ruff check . && .venv/bin/mypy
check:
	scripts/setup dev && scripts/check
test:
	scripts/test
demo:
	scripts/demo
docs:
	scripts/setup dev && .venv/bin/python scripts/gen_docs && NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
bench:
	scripts/bench overhead
