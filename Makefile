# The commands that people, CI and pre-commit share. `make` alone lists them.
# Written for GNU make 3.81, the one that macOS has.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --retries 1 --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help run test test-fast test-collect check format screenshot bench fuzz mutants audit clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: .venv/for-run  ## open the app on the demo; ARGS="-- --results path" opens your own results
	@echo 'Only this machine can open the dashboard. To share it: make run ARGS="--server.address 0.0.0.0"'
	$(BIN)/streamlit run streamlit_app.py --server.address localhost --server.maxUploadSize 500 $(ARGS)

# A file's tests stay on one worker (loadfile), so that each file of browser tests starts its server once.
test: .venv/for-development  ## run every test but those of collect; ARGS="-k spread -x" goes to pytest
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

test-fast: .venv/for-development  ## run the tests that need no browser
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not browser" $(ARGS)

# One thread for each worker: with more, torch on all cores in every worker is slower than tests one after the other.
test-collect: .venv/for-collect  ## run the tests of `featurediff collect`, which need its extras; a minute to install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile tests/collect $(ARGS)

check: .venv/for-development  ## look at format, lint and types; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/for-development  ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Takes about half an hour, and 4 GB of the folder for temporary files. The notebook's runner is not part of this
# repository.
bench: .venv/for-development  ## measure speed and memory into bench/README.md; NOTEBOOK=path sets them beside a notebook
	$(if $(NOTEBOOK),$(BIN)/python bench/against_notebook.py --notebook $(NOTEBOOK))
	$(BIN)/python bench/width.py
	$(BIN)/python bench/app.py
	$(BIN)/python bench/browser.py
	$(BIN)/python bench/load.py

fuzz: .venv/for-development  ## read 20,000 spoilt files, follow 600 spoilt links; ARGS="--seed 1 --count 500" reads others
	$(BIN)/python bench/fuzz.py $(ARGS)
	FEATUREDIFF_LINKS=300 $(BIN)/python -m pytest -k any_link tests/app/test_hostile_links.py

mutants: .venv/for-development  ## break lines that matter in a copy, one by one: do the tests notice?
	$(BIN)/python bench/mutants.py $(ARGS)

# A report and no check: what is found out tomorrow must not fail what was fine yesterday, and there may be no network.
audit: .venv/for-run  ## report installed packages with known weaknesses; fails nothing
	-@test -x .venv/audit/bin/pip-audit || { $(BIN)/python -m venv .venv/audit && \
		.venv/audit/bin/python -m pip install --quiet --retries 1 --disable-pip-version-check 'pip-audit>=2.9,<3'; }
	-@$(BIN)/python scripts/audit.py .venv/audit/bin/pip-audit

screenshot: .venv/for-development  ## take the README's pictures again
	$(BIN)/python scripts/screenshot.py $(ARGS)

clean:  ## remove .venv and everything else that was made
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what .venv holds. Each is as old as its last install, so that pip runs only after a requirements
# file (or the interpreter) has changed.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'featurediff needs Python 3.11 or newer, which "$(PYTHON)" is not ('"$$($(PYTHON) --version 2>&1)"').' \
			'Name another: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Making .venv with $(PYTHON)'
	@$(PYTHON) -m venv --clear .venv

.venv/for-run: $(BIN)/python requirements.txt pyproject.toml
	@echo 'Installing requirements.txt into .venv (the first time this takes a few minutes)'
	@$(PIP) --requirement requirements.txt
	@$(PIP) --no-deps --editable .
	@touch $@

.venv/for-development: .venv/for-run requirements-dev.txt
	@echo 'Installing requirements-dev.txt into .venv'
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

# With the requirements once more, so that the extras leave torch and the others as they are pinned.
.venv/for-collect: .venv/for-development
	@echo 'Installing the extras of featurediff collect into .venv'
	@$(PIP) --requirement requirements-dev.txt --editable '.[collect,cluster]'
	@touch $@
