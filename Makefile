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
# 1: `make rehearse` shows it in a browser too.
WEB ?=
ONLY ?=
TESTS ?=
# Coverage counts on the lines that changed since this, and at least so much of them, in per cent.
COMPARE ?= origin/main
FLOOR ?= 90
ENVIRONMENT ?=
# Charts that lie unpacked, each below its own name.
CHARTS ?=
# 1: `make lock` takes the newest of everything.
UPGRADE ?=
# What `make adopt` calls the service, and the prefix of its metrics (NAME).
NAME ?=
METRICS ?=

OPTIONS := PYTHON PORT FAULT STABLE CANDIDATE SCALE TARGET PART WEB ONLY TESTS COMPARE FLOOR \
  ENVIRONMENT UPGRADE CHARTS NAME METRICS
# make would expand a value of the command line when it exports it, so the value is taken as it is.
$(foreach option,$(OPTIONS),$(eval override $(option) := $$(value $(option))))
export $(OPTIONS)
# A misspelt one would be passed over, and a healthy release rehearsed instead of a faulty one.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(OPTIONS) MAKEFLAGS MAKEOVERRIDES,$(GIVEN))
$(if $(UNKNOWN),$(error unknown: $(UNKNOWN). What can be set is $(OPTIONS)))

##@ Begin

.PHONY: help setup setup-rehearse docs

help:  ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z][a-z-]*:.*## / {printf "  %-20s %s\n", $$1, $$2}' Makefile

setup:  ## make .venv from the locked requirements; PYTHON=python3.12 to choose one
	@"$${PYTHON:-python3}" ci/install.py dev

setup-rehearse:  ## the part of it that a rehearsal and the gates need
	@"$${PYTHON:-python3}" ci/install.py rehearse

docs: setup  ## the documents as a site, in out/site
	@docs/make-site && echo "out/site/index.html"

##@ Use

.PHONY: rehearse serve observe gates policies

RENDERED := deploy/overlays/dev deploy/overlays/staging deploy/overlays/production deploy/overlays/local deploy/argocd

rehearse: setup-rehearse  ## rehearse a release; FAULT="errors=3%" makes it faulty, CANDIDATE=branch yours, SCALE=1 real time, WEB=1 a live page
	@set -f; for fault in $$FAULT; do set -- "$$@" --fault="$$fault"; done; \
	  $(BIN)/canary rehearse --target="$$TARGET" $${SCALE:+--time-scale="$$SCALE"} $${WEB:+--web} $${STABLE:+--stable="$$STABLE"} \
	  $${CANDIDATE:+--candidate="$$CANDIDATE"} "$$@"

serve: setup-rehearse  ## the service on http://127.0.0.1:8000 (PORT=) with a database and seed data
	@$(BIN)/canary serve --port="$$PORT"

observe: setup-rehearse  ## the service and a canary under gentle load, with alerts and dashboards in a browser; FAULT= makes the canary faulty
	@set -f; for fault in $$FAULT; do set -- "$$@" --fault="$$fault"; done; $(BIN)/observe up "$$@"

gates: setup-rehearse  ## what the canary gates can see, and whether lint objects to them
	@$(BIN)/canary lint
	@$(BIN)/canary power --html out/power.html

policies: setup  ## every overlay against its schemas and policies
	@$(BIN)/policies --baseline deploy/base $(RENDERED)

##@ Change

LINTS := lint-python lint-imports lint-types lint-words lint-yaml lint-dockerfile lint-shell lint-links lint-docs lint-workflows \
  lint-manifests lint-migrations lint-rules lint-terraform
.PHONY: test coverage lint format generate pictures contracts terraform-docs lock workflows secrets clean adopt $(LINTS)

# Three workers for two cores, since tests wait a third of their time, each a whole file at a time, in
# the order of pyproject.toml.
PYTEST := $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

test: setup  ## every quick test, on a real database, Prometheus and gateway
	@set -f; $(PYTEST) $$TESTS

coverage: setup  ## every quick test, and a floor for the lines changed since COMPARE
	@mkdir -p out/coverage
	@set -f; $(PYTEST) --cov --cov-config=pyproject.toml --cov-report=xml $$TESTS
	@$(BIN)/diff-cover out/coverage/coverage.xml --compare-branch="$$COMPARE" --fail-under="$$FLOOR" \
	  --exclude '*/tests/*' 'acceptance/*'

lint: setup  ## all static checks: style, types, words, links, manifests, workflows
	@$(MAKE) --no-print-directory -j4 --output-sync=target --keep-going $(LINTS)

lint-python:
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

lint-imports:  # which module may import which: pyproject.toml
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

lint-types:
	@$(BIN)/mypy

lint-words:  # private words in texts: ci/words.toml
	@$(BIN)/python ci/words.py

lint-yaml:
	@$(BIN)/yamllint --strict .
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml observability/compose.yaml

lint-dockerfile:
	@git ls-files "*Dockerfile" | xargs $(BIN)/hadolint

lint-shell:  # by their first line, since scripts have no ending
	@git grep -lE '^#!.*\b(ba)?sh$$' -- ':!*.tf' ':!*.md' ':!*.py' | xargs $(BIN)/shellcheck

lint-links:
	@git ls-files -z '*.md' | xargs -0 $(BIN)/lychee --quiet  # and not the pages that lint-docs is making

lint-docs:  # as a site; links to pages and their parts
	@docs/make-site

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
	@# 1.34: AKS's oldest standard version that has all we use.
	@set -- --kubernetes=1.34 $(RENDERED) deploy/admission; $(BIN)/policies "$$@" >/dev/null || $(BIN)/policies "$$@"

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

pictures: setup  ## docs/pictures of the pages anew, from a real rehearsal in a real browser
	@$(BIN)/python -m acceptance.web.pictures

contracts: setup  ## what each chart brings with our values, for the composition test; needs helm (CHARTS=folder to pull none)
	@$(BIN)/python -m acceptance.composition $${CHARTS:+--charts="$$CHARTS"}

terraform-docs: setup  ## write infra/terraform/REFERENCE.md anew
	@$(BIN)/python infra/terraform/scripts/document.py

lock: setup-rehearse  ## resolve the requirements anew; UPGRADE=1 takes the newest of everything
	@ci/lock $${UPGRADE:+--upgrade}

workflows: setup  ## run the workflows here, by act, in clones that must pass and clones that must fail (needs act, or Go)
	@$(ACCEPT) workflows

secrets:  ## look for secrets in the whole history (needs gitleaks, or Go to build it)
	@"$$(ci/tool gitleaks)" git --no-banner --redact .

clean:  ## remove what runs and builds left
	@rm -rf out build .pytest_cache .ruff_cache .mypy_cache *.egg-info */*.egg-info

adopt: setup  ## make a new clone your own: NAME=orders renames the service and puts an example in the place of the grid
	@$(BIN)/python adopt/adopt.py $${METRICS:+--metrics="$$METRICS"} -- "$$NAME"

##@ Acceptance tests, which take longer than a test may

# ONLY=WORD: the tests whose name holds it. More: .venv/bin/python -m acceptance --help
ACCEPT := $(BIN)/python -m acceptance
accept = @set -f; $(ACCEPT) $(@:accept-%=%) $${ONLY:+-k "$$ONLY"}

.PHONY: accept-rehearsal accept-endings accept-gates accept-load accept-service accept-bench accept-observability accept-pipeline accept-terraform accept-edge accept-web accept-foreign accept-adopt

accept-rehearsal: setup  ## rehearsals of every kind of release, about 40 minutes
	@$(BIN)/python -m pytest -q -m acceptance canary/tests/test_rehearsal.py
	$(accept)

accept-endings: setup  ## end every program at any time, by any signal: nothing of it may live on; about 60 minutes
	$(accept)

accept-gates: setup  ## thousands of simulated releases and every broken gate, about 15 minutes
	@$(BIN)/python -m pytest -q -m acceptance canary/tests/lint canary/tests/power
	$(accept)

accept-load: setup  ## load verdicts ten times a profile, the stall, and k6 and vegeta, about 70 minutes
	@$(BIN)/python -m pytest -q -m acceptance loadtest/tests
	$(accept)

accept-service: setup  ## kills, restarts, outages and 20,000 generated requests, about 20 minutes
	@$(BIN)/python -m pytest -q -m acceptance service/tests
	$(accept)

accept-bench: setup  ## what the service costs beside bare Flask, FastAPI and raw COPY, about 12 minutes
	$(accept)

accept-observability: setup  ## panels on a rehearsal's data, every alert and its runbook, the rules' cost; about 15 minutes
	@$(BIN)/python -m pytest -q -m acceptance observability/tests
	$(accept)

accept-pipeline: setup  ## a thousand interleavings of overlay updates, pushes and signatures; about 30 minutes
	$(accept)

accept-terraform: setup  ## break each setting of the landing zone, see a test notice; about 10 minutes
	@$(BIN)/python -m pytest -q -m acceptance infra/terraform/tests
	@$(BIN)/python infra/terraform/scripts/mutate.py
	@$(BIN)/python infra/terraform/scripts/linters.py

accept-edge: setup  ## a real firewall before the real service: our traffic passes, attacks do not
	$(accept)

accept-web: setup  ## the pages of rehearsals in a real browser: live, history, compare, replay, keyboard, axe; about 4 minutes
	$(accept)

accept-foreign: setup  ## other teams' services (Go, Node, FastAPI): a healthy commit promoted, a faulty one rolled back; the wheel alone; about 8 minutes
	@$(BIN)/python -m pytest -q -m acceptance ci/tests/test_wheel.py
	$(accept)

accept-adopt: setup  ## a clone that `make adopt` made one's own: its tests, its static checks and its releases; about 15 minutes
	$(accept)

##@ Acceptance tests on a real cluster

.PHONY: test-cluster accept-platform accept-conformance accept-logs accept-load-cluster accept-gitops

test-cluster: setup  ## the platform on a real cluster: admission, promotion, abort, rollback paths; PART=core for less
	@$(ACCEPT) conformance --part "$$PART"

accept-platform: setup  ## production on the real controllers, from empty by Argo CD: alerts, each rollback path, and the live page's buttons; about 15 minutes
	@$(ACCEPT) composition --part cluster
	@$(ACCEPT) web --part cluster

accept-conformance: setup  ## every scenario and 2,000 analyses beside the real Argo Rollouts, about 10 minutes
	$(accept)

accept-logs: setup  ## lines reach Loki, controllers fill their panels
	@$(ACCEPT) observability --part cluster

accept-load-cluster: setup  ## the load test's Job, workers and analysis, about 10 minutes
	@$(ACCEPT) load --part cluster

accept-gitops: setup  ## commit to canary and back, Argo CD included, about 30 minutes; SCALE=2 is faster, ONLY=good or bad
	@$(ACCEPT) pipeline --part cluster $${SCALE:+--scale="$$SCALE"} $${ONLY:+--only="$$ONLY"}

##@ Azure, as CI does it

.PHONY: terraform-plan terraform-apply

terraform-plan:  ## plan ENVIRONMENT, which needs its Azure login
terraform-apply:  ## apply the same
terraform-plan terraform-apply:
	@ci/terraform $(@:terraform-%=%) "$$ENVIRONMENT"
