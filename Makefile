# Everything a person or CI does goes through here. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# Containers often forbid bytecode, and then every pod and program compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

# What a person may set, with its default. Recipes read these from the environment, in quotes, and
# never through make, so that nothing in a value is run: a branch may be called `x;y` or $(y).
PYTHON ?=
PORT ?= 8000
FAULT ?=
STABLE ?=
CANDIDATE ?=
SCALE ?=
TARGET ?= local
PART ?= cluster
ONLY ?=
TESTS ?=
PARTS ?=
# Coverage counts on the lines that changed since this, and at least so much of them, in per cent.
COMPARE ?= origin/main
FLOOR ?= 90
ENVIRONMENT ?=
# Charts that lie unpacked, each below its own name.
CHARTS ?=
# 1: `make lock` takes the newest of everything.
UPGRADE ?=

OPTIONS := PYTHON PORT FAULT STABLE CANDIDATE SCALE TARGET PART ONLY TESTS PARTS COMPARE FLOOR \
  ENVIRONMENT UPGRADE CHARTS
# make would expand a value of the command line when it exports it, so the value is taken as it is.
$(foreach option,$(OPTIONS),$(eval override $(option) := $$(value $(option))))
export $(OPTIONS)
# A misspelt one would be passed over, and a healthy release rehearsed instead of a bad one.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(OPTIONS) MAKEFLAGS MAKEOVERRIDES,$(GIVEN))
$(if $(UNKNOWN),$(error unknown: $(UNKNOWN). What can be set is $(OPTIONS)))

##@ Begin

.PHONY: help setup setup-rehearse

help:  ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z][a-z-]*:.*## / {printf "  %-20s %s\n", $$1, $$2}' Makefile

setup:  ## make .venv from the locked requirements; PYTHON=python3.12 to choose one
	@"$${PYTHON:-python3}" ci/install.py dev

setup-rehearse:  ## the part of it that a rehearsal and the gates need
	@"$${PYTHON:-python3}" ci/install.py rehearse

##@ Use

.PHONY: rehearse serve observe gates policies

rehearse: setup-rehearse  ## rehearse a release; FAULT="errors=3%" makes it bad, CANDIDATE=branch yours, SCALE=1 real time
	@set -f; for fault in $$FAULT; do set -- "$$@" --fault="$$fault"; done; \
	  $(BIN)/canary rehearse --target="$$TARGET" $${SCALE:+--time-scale="$$SCALE"} $${STABLE:+--stable="$$STABLE"} \
	  $${CANDIDATE:+--candidate="$$CANDIDATE"} "$$@"

serve: setup-rehearse  ## the service on http://127.0.0.1:8000 (PORT=) with a database and seed data
	@$(BIN)/canary serve --port="$$PORT"

observe: setup-rehearse  ## the service under gentle load, with Prometheus, Alertmanager and a page; FAULT= adds a bad canary
	@$(BIN)/observe up $${FAULT:+--faults="$$FAULT"}

gates: setup-rehearse  ## what the canary gates can see, and whether lint objects to them
	@$(BIN)/canary lint
	@$(BIN)/canary power --html out/power.html

policies: setup  ## every overlay against its schemas and policies
	@$(BIN)/policies --baseline deploy/base $(foreach overlay,dev staging production local,deploy/overlays/$(overlay)) deploy/argocd

##@ Change

LINTS := lint-python lint-imports lint-types lint-yaml lint-dockerfile lint-shell lint-links lint-workflows \
  lint-manifests lint-migrations lint-rules lint-terraform
.PHONY: test coverage lint format generate contracts terraform-docs lock workflows secrets clean $(LINTS)

# Two workers, each a whole file at a time, in the order of pyproject.toml.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: setup  ## every quick test, on a real database, Prometheus and gateway
	@set -f; $(PYTEST) $$TESTS

coverage: setup  ## every quick test, and a floor for the lines changed since COMPARE
	@mkdir -p out/coverage
	@set -f; $(PYTEST) --cov --cov-config=pyproject.toml --cov-report=xml $$TESTS
	@$(BIN)/diff-cover out/coverage/coverage.xml --compare-branch="$$COMPARE" --fail-under="$$FLOOR" \
	  --exclude '*/tests/*' 'acceptance/*'

lint: setup  ## style, types and all that is read rather than run, within half a minute
	@$(MAKE) --no-print-directory -j4 --output-sync=target --keep-going $(LINTS)

lint-python:
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

lint-imports:  # which module may import which: pyproject.toml
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

lint-types:
	@$(BIN)/mypy

lint-yaml:
	@$(BIN)/yamllint --strict .
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml observability/compose.yaml

lint-dockerfile:
	@$(BIN)/hadolint Dockerfile infra/terraform/runners/Dockerfile

lint-shell:  # by their first line, since scripts have no ending
	@git grep -lE '^#!.*\b(ba)?sh$$' -- ':!*.tf' ':!*.md' ':!*.py' | xargs $(BIN)/shellcheck

lint-links:
	@$(BIN)/lychee --quiet '**/*.md'

lint-workflows:
	@$(BIN)/zizmor --quiet --offline --persona pedantic .github
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yaml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yaml
	@$(BIN)/pipeline controls >/dev/null || $(BIN)/pipeline controls
	@# By its whole path: actionlint runs no shellcheck that it finds in a folder of this one.
	@if command -v actionlint >/dev/null; then PATH="$(CURDIR)/$(BIN):$$PATH" actionlint; \
	  else echo "actionlint is not here, so GitHub's expressions went unchecked: ci/tool actionlint"; fi

lint-manifests:
	@$(BIN)/canary lint >/dev/null || $(BIN)/canary lint
	@ci/check-manifests $(BIN)/kubernetes-validate

lint-migrations:  # what breaks or blocks the release before
	@$(BIN)/python -m acceptance.service.migrations

lint-rules:
	@$(BIN)/observe generate --check
	@$(BIN)/python -c 'import pathlib; from observe import promtool; \
	  promtool.debian().check(sorted(pathlib.Path("observability/rules").rglob("*.yaml")))'

lint-terraform:
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive -diff infra/terraform; \
	  else echo "terraform is not here, so its style went unchecked: install Terraform 1.11"; fi

format: setup  ## put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: setup  ## write every generated file anew; CI checks that nothing changes
	@$(BIN)/observe generate
	@$(BIN)/python -m gridos.api.specification > service/gridos/data/openapi.json
	@$(BIN)/python infra/terraform/scripts/document.py

contracts: setup  ## what each chart brings with our values, for the composition test; needs helm (CHARTS=folder to pull none)
	@$(BIN)/python -m acceptance.composition $${CHARTS:+--charts="$$CHARTS"}

terraform-docs: setup  ## write infra/terraform/REFERENCE.md anew
	@$(BIN)/python infra/terraform/scripts/document.py

lock: setup-rehearse  ## resolve the requirements anew; UPGRADE=1 takes the newest of everything
	@ci/lock $${UPGRADE:+--upgrade}

workflows: setup  ## run the workflows here, by act, in good clones and bad ones (needs act, or Go)
	@$(BIN)/python acceptance/pipeline/workflows.py

secrets:  ## look for secrets in the whole history (needs gitleaks, or Go to build it)
	@"$$(ci/tool gitleaks)" git --no-banner --redact .

clean:  ## remove what runs and builds left
	@rm -rf out build .pytest_cache .ruff_cache .mypy_cache *.egg-info */*.egg-info

##@ Prove what takes longer than a test may

.PHONY: prove-rehearsal prove-endings prove-gates prove-load prove-service bench prove-observability prove-runbooks prove-pipeline prove-terraform prove-edge

prove-rehearsal: setup  ## the rehearsal's long bars, about 40 minutes, as a table
	@$(BIN)/python acceptance/rehearsal.py

prove-endings: setup  ## end every program at any time, by any signal: nothing of it may live on; about 60 minutes
	@$(BIN)/python acceptance/endings.py

prove-gates: setup  ## thousands of simulated releases and every broken gate, about 15 minutes
	@$(BIN)/python -m pytest -q -m acceptance canary/tests/power
	@$(BIN)/python acceptance/gates.py

prove-load: setup  ## load verdicts ten times a profile, the stall, and k6 and vegeta, about 70 minutes
	@$(BIN)/python acceptance/load/load.py

prove-service: setup  ## kills, restarts and 20,000 generated requests, about 20 minutes
	@$(BIN)/python -m pytest -q -m acceptance service/tests
	@$(BIN)/python acceptance/service/prove_service.py

bench: setup  ## what the service costs beside bare Flask, FastAPI and raw COPY, about 12 minutes; PARTS=ingest
	@set -f; $(BIN)/python -m acceptance.bench $$PARTS

prove-observability: setup  ## every panel on a rehearsal's data, the design's queries, and what the rules cost
	@$(BIN)/observe prove

prove-runbooks: setup  ## bring every alert about on a live stack and walk its runbook, about 10 minutes
	@$(BIN)/observe prove-runbooks

prove-pipeline: setup  ## a thousand interleavings of concurrent overlay updates, about 20 minutes
	@$(BIN)/python acceptance/pipeline/overlay.py

prove-terraform: setup  ## break each setting of the landing zone, see a test notice; about 10 minutes
	@$(BIN)/python -m pytest -q -m acceptance infra/terraform/tests
	@$(BIN)/python infra/terraform/scripts/mutate.py
	@$(BIN)/python infra/terraform/scripts/linters.py

prove-edge: setup  ## a real firewall before the real service: our traffic passes, attacks do not
	@$(BIN)/python acceptance/edge/prove_edge.py

##@ Prove on a real cluster

.PHONY: test-cluster accept-platform prove-conformance prove-logs prove-load-cluster prove-gitops

test-cluster: setup  ## the platform on a real cluster: admission, promotion, abort, the ways back; PART=core for less
	@$(BIN)/python -m acceptance.conformance "$$PART"

accept-platform: setup  ## production's release and alerts on the real controllers: started, refused, silenced, aborted (3 minutes)
	@$(BIN)/python -m acceptance.composition.alerts

prove-conformance: setup  ## every scenario and 2,000 analyses beside the real Argo Rollouts, about 10 minutes
	@$(BIN)/python -m acceptance.conformance.prove_connectivity
	@$(BIN)/python -m acceptance.conformance conformance

prove-logs: setup  ## on a real cluster: lines reach Loki, controllers fill their panels
	@$(BIN)/observe prove-cluster

prove-load-cluster: setup  ## the load test's Job, workers and analysis on a real cluster, about 10 minutes
	@$(BIN)/python acceptance/load/load_cluster.py

prove-gitops: setup  ## commit to canary on a real cluster and back, Argo CD included, about 30 minutes; SCALE=2 is faster, ONLY=good or bad
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python acceptance/pipeline/gitops.py $${SCALE:+--scale="$$SCALE"} $${ONLY:+--only="$$ONLY"}

##@ Azure, as CI does it

.PHONY: terraform-plan terraform-apply

terraform-plan:  ## plan ENVIRONMENT, which needs its Azure login
terraform-apply:  ## apply the same
terraform-plan terraform-apply:
	@ci/terraform $(@:terraform-%=%) "$$ENVIRONMENT"
