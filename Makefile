# Everything runs from .venv, which `make demo` and `make test` create; only a stamp older than the
# files it was made from sets up again. Paths in recipes are relative, so that the checkout may lie
# under a path with spaces. Logic of more than a few lines belongs in Python.
.DEFAULT_GOAL := help
.PHONY: help demo test check check-image check-gcloud fix simulate simulate-wire mutants bench bench-gates bench-ticks calibrate lock clean
.DELETE_ON_ERROR:
SHELL := /bin/sh

# python3 comes last: where it is too old, a newer one often stands beside it under its own name.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV := $(shell command -v uv 2>/dev/null)
PY := .venv/bin/python
INSTALL = $(if $(UV),uv pip install -q --python $(PY),$(PY) -m pip install -q --disable-pip-version-check)
TARGETS := controller tests benchmarks

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

demo: .venv/.run ## walk ion-api through a whole rollout, and a bad one back, in the sandbox
	@.venv/bin/rollout demo

# Compiled files are kept whatever the environment says: without them each worker and each command
# that a test starts compiles everything again, four seconds a process. worksteal: the scenarios
# are long and stand near the front; who is done with the rest takes from who runs them.
test: .venv/.dev ## run the tests
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -q -n 2 --dist worksteal tests

SEEDS ?= 500
JOBS ?= 2
simulate: .venv/.dev ## try to break the controller in SEEDS=500 worlds, or SEEDS=7000-7400; SEED=7123 [AIM=…] shows one
	@$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED) $(if $(AIM),--aim '$(AIM)'),--seeds $(SEEDS) --jobs $(JOBS))

KILLS ?= 200
simulate-wire: .venv/.dev ## the same over the wire: kill KILLS=200 real processes in one rollout, a quarter of an hour
	@$(PY) -m tests.simulation.wire --kills $(KILLS)

SAMPLE ?= 500
mutants: .venv/.dev ## alter the engine a little, SAMPLE=500 ways not played yet: do tests and simulation notice?
	@$(PY) -m tests.mutants --sample $(SAMPLE) --jobs $(JOBS)

check: .venv/.dev ## format, lint, types, layer order, and what tracked files may name
	@.venv/bin/ruff format --check $(TARGETS)
	@.venv/bin/ruff check $(TARGETS)
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m pytest -q -p no:cacheprovider tests/packaging/test_tracked_files.py

check-image: .venv/.dev ## do what the Dockerfile of examples/scheduled does, in a fresh environment
	@folder="$$(mktemp -d)" && trap 'rm -rf "$$folder"' EXIT && $(PY) -m tests.examples.dockerfile "$$folder/image"

check-gcloud: .venv/.dev ## drive the sandbox with the real gcloud, every command that docs/gcloud.md tells
	@ROLLOUT_TEST_GCLOUD=all $(PY) -m pytest -q tests/cli/test_gcloud.py

fix: .venv/.dev ## format, and mend what ruff can mend
	@.venv/bin/ruff check --fix $(TARGETS)
	@.venv/bin/ruff format $(TARGETS)

bench: .venv/.run ## measure start-up, status, rehearsal, replay and hostile plans against their goals
	@met=0; for b in start_up status rehearsal replay hostile; do $(PY) benchmarks/$$b.py || met=1; done; exit $$met

bench-ticks: .venv/.run ## measure passes of a schedule: against one long apply, and over 200 services
	@met=0; for b in by_ticks tick_all; do $(PY) -m benchmarks.$$b || met=1; done; exit $$met

calibrate: .venv/.run ## measure how often each type of gate fails a candidate that is at its limit
	@$(PY) benchmarks/gates/calibrate.py

bench-gates: .venv/.run ## our gates against the peers' rules, two hours (SLICE=ci: five minutes)
	@$(PY) -m benchmarks.gates.run

# Universal and hashed, for Python >= 3.11 on any system, naming no registry.
LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: ## raise requirements*.txt to the newest versions (needs uv)
	@command -v uv >/dev/null || { echo 'make lock needs uv: python3 -m pip install uv'; exit 1; }
	@$(LOCK) pyproject.toml -o requirements.txt >/dev/null
	@$(LOCK) -c requirements.txt --group pyproject.toml:dev -o requirements-dev.txt >/dev/null
	@$(LOCK) -c requirements.txt -c requirements-dev.txt --group pyproject.toml:build \
		-o requirements-build.txt >/dev/null

clean: ## remove the environment and everything built
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find controller tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'rollout needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is not,none was found).' \
		'Install one, or name it: make $(MAKECMDGOALS) PYTHON=python3.11'; exit 1; }
	@echo 'setting up .venv with $(PYTHON) and $(if $(UV),uv,pip) (once)'
	@$(if $(UV),uv venv -q --allow-existing --python "$(PYTHON)" .venv,"$(PYTHON)" -m venv .venv) || { \
		rm -rf .venv; echo 'No virtual environment could be made. On Debian and Ubuntu the module is a' \
		'package of its own: sudo apt install python3-venv'; exit 1; }

.venv/.run: requirements.txt requirements-build.txt pyproject.toml | .venv/bin/python
	@$(INSTALL) --require-hashes -r requirements.txt -r requirements-build.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@
