# Everything a person or CI does goes through here. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PORT ?= 8000
FAULT ?=
STABLE ?=
CANDIDATE ?=
SCALE ?= 6

.PHONY: help setup rehearse serve policies gates test generate prove-rehearsal prove-gates lint format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv from the locked requirements

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 4; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python venv is missing: sudo apt-get install python3-venv" >&2; exit 4; }
	@echo "installing the locked requirements into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

rehearse: setup  ## rehearse a release; FAULT="errors=3%" makes it bad, CANDIDATE=branch yours, SCALE=1 real time
	@$(BIN)/rehearse --time-scale $(SCALE) $(foreach fault,$(FAULT),--fault $(fault)) \
	  $(if $(STABLE),--stable $(STABLE)) $(if $(CANDIDATE),--candidate $(CANDIDATE))

serve: setup  ## the service on http://127.0.0.1:8000 (PORT=) with a database and seed data
	@$(BIN)/rehearse serve --port $(PORT)

policies: setup  ## every overlay against its schemas and policies
	@$(BIN)/policies $(foreach overlay,dev staging production local,deploy/overlays/$(overlay)) deploy/argocd

gates: setup  ## what the canary gates can see, and whether lint objects to them
	@$(BIN)/gates lint
	@$(BIN)/gates power --html out/power.html

test: setup  ## every quick test, on a real database, Prometheus and gateway
	@$(BIN)/python -m pytest -q

generate: setup  ## write every generated file anew; CI checks that nothing changes
	@$(BIN)/observe generate

prove-rehearsal: setup  ## the rehearsal's long bars, about 40 minutes, as a table
	@$(BIN)/python loadtest/prove_rehearsal.py

prove-policies: setup  ## every overlay against its schemas and policies
	@$(BIN)/policies $(foreach overlay,dev staging production local,deploy/overlays/$(overlay)) deploy/argocd

gates: setup  ## thousands of simulated releases and every broken gate, about 15 minutes
	@$(BIN)/python loadtest/prove_gates.py

lint: setup  ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup  ## put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: setup  ## resolve the requirements anew (needs uv)
	@uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements/service.txt
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements/dev.txt

clean:  ## remove what runs and builds left
	@rm -rf out build .pytest_cache .ruff_cache .mypy_cache *.egg-info
