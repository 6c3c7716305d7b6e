# THKMesh: `make help` lists what there is. Every target sets up what it needs.

PYTHON ?= python3
VENV   ?= .venv
HOST   ?= 127.0.0.1
PORT   ?= 8765

# More words for the tools: make test PYTEST="tests/core -k glare", make lock LOCK=--upgrade
PYTEST ?=
WORKERS ?= 2
BENCH  ?=
LOCK   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run npm test test-nightly cover bench docs setup setup-host setup-npm lock clean
.PHONY: check check-lint check-types check-layers check-web

bin := $(VENV)/bin
typed := $(wildcard src tests benchmarks examples)
web := $(wildcard src/thkmesh/web/*.js src/thkmesh/web/*/*.js)
MAKEFLAGS += --no-print-directory

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- use ---------------------------------------------------------------------

run: setup ## Serve a demo room and the page on http://HOST:PORT
	@THKMESH_PORT_OPTION="make run PORT=..." exec $(bin)/thkmesh serve --demo --host $(HOST) --port $(PORT)

npm: setup-npm ## Pack the browser client for npm, in dist
	@scripts/build-npm.sh

# ---- verify ------------------------------------------------------------------

test: setup-host setup setup-npm ## Run the tests
	@exec $(bin)/python -m pytest --numprocesses=$(WORKERS) --dist=loadscope --durations=20 $(PYTEST)

test-nightly: setup-host setup setup-npm ## Run the long tests
	@exec $(bin)/python -m pytest -m nightly --hypothesis-profile=nightly --timeout=0 -o faulthandler_timeout=0 --durations=20 $(PYTEST)

check: check-lint check-types check-layers check-web ## Lint, format, types, layers (-k: all faults at once)

check-lint: setup
	$(bin)/ruff check .
	$(bin)/ruff format --check .

check-types: setup setup-npm
	$(bin)/mypy $(typed)
	npx --no-install pyright --pythonpath $(bin)/python $(typed)

check-layers: setup
	$(bin)/lint-imports --no-logo

check-web: setup-npm
ifneq ($(web),)
	npx --no-install tsc --project tsconfig.json
endif

cover: setup ## Measure that tests/core reaches every branch of core
	$(bin)/coverage run --branch --source=src/thkmesh/core -m pytest tests/core $(PYTEST)
	$(bin)/coverage report --fail-under=100

bench: setup-host setup benchmarks/web/node_modules/.stamp ## Run the benchmarks
	@scripts/setup-venv.sh $(VENV) $(PYTHON) requirements/dev.txt requirements/bench.txt
	@exec $(bin)/python -m benchmarks $(BENCH)

docs: setup ## Check that every link between the documents leads somewhere
	@exec $(bin)/python -m pytest tests/test_house.py -k document

# ---- set up ------------------------------------------------------------------

setup: $(VENV)/.stamp-dev ## Make .venv from the locked requirements

$(VENV)/.stamp-dev: requirements/dev.txt pyproject.toml scripts/setup-venv.sh
	@scripts/setup-venv.sh $(VENV) $(PYTHON) requirements/dev.txt

setup-npm: node_modules/.stamp

node_modules/.stamp: package-lock.json .npmrc
benchmarks/web/node_modules/.stamp: benchmarks/web/package-lock.json benchmarks/web/.npmrc
node_modules/.stamp benchmarks/web/node_modules/.stamp:
	@command -v npm >/dev/null || scripts/setup-host.sh
	@echo "Installing $< into $(@D) ..." >&2
	@cd $(<D); lock=; if command -v flock >/dev/null; then lock="flock .npmrc"; fi; \
	$$lock sh -c '[ node_modules/.stamp -nt package-lock.json ] || { npm ci --ignore-scripts --loglevel=error >&2 && touch node_modules/.stamp; }'

setup-host: ## Install the programs the tests drive (Debian)
	@scripts/setup-host.sh

pip-compile := $(bin)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: setup ## Lock the requirements again; LOCK=--upgrade takes newer ones
	$(pip-compile) $(LOCK) --output-file=requirements/dev.txt pyproject.toml requirements/dev.in
	$(pip-compile) $(LOCK) --output-file=requirements/bench.txt requirements/bench.in
	npm install --package-lock-only --ignore-scripts
	cd benchmarks/web && npm install --package-lock-only --ignore-scripts

clean: ## Remove everything that can be made again
	rm -rf $(VENV) node_modules benchmarks/web/node_modules build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
