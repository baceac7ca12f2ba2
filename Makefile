PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 1
BIN := .venv/bin

# Python starts often here: let each process find what others compiled, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

# The two environments are installed beside each other.
MAKEFLAGS += --jobs=2

.PHONY: serve worker test test-long check golden sdl fuzz equality mutation bench docs lock graphiql

serve: .venv/demo .venv-fakesnow/installed  ## the demo company, answering
	@$(BIN)/python -m demo --port $(PORT) --workers $(WORKERS)

worker: .venv/demo  ## runs jobs, beside the server that CONFIG serves; CONFIG=onedoor.toml
	@$(BIN)/python -m onedoor --config $(or $(CONFIG),onedoor.toml) worker

test: .venv/development  ## everything that is tested, but for the long runs; ORDER=7 for a random order
	@ORDER=$(ORDER) $(BIN)/python -m pytest -n 3 --dist worksteal -m "not long"

test-long: .venv/development  ## the long runs: kills at any moment, thousands of random queries, ten times the requests of the contract
	@$(BIN)/python -m pytest -n 2 -m long

check: .venv/development  ## style, types, imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy . && $(BIN)/lint-imports

golden: .venv/development  ## rewrites the plans and replies of tests/golden; the diff is the review
	@GOLDEN=write $(BIN)/python -m pytest tests/golden

sdl: .venv/development  ## rewrites schema/schema.graphql
	@$(BIN)/python -m onedoor sdl > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql

docs: .venv/development  ## rewrites the generated pages of docs/
	@DOCS=write $(BIN)/python -m pytest tests/docs

fuzz: .venv/development  ## thousands of random queries, against the reference; N=5000
	@FUZZ=$(or $(N),5000) $(BIN)/python -m pytest tests/properties/reference -s

equality: .venv/development  ## as many random queries, against all rows in memory; N=100000
	@EQUAL=$(or $(N),100000) $(BIN)/python -m pytest tests/properties/equality -n 2 -rP

mutation: .venv/development  ## changes the code that decides who may see what, one spot at a time: a test must fail each time
	@$(BIN)/python -m tests.mutation $(MODULE)

bench: .venv/development  ## Onedoor, by hand, and the limit; QUESTION=one SECONDS=3 ROUNDS=5
	@$(BIN)/python -m benchmarks $(foreach each,$(QUESTION),--question $(each)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS))

graphiql:  ## builds onedoor/http/graphiql anew; needs Node 20
	@cd web/graphiql && npm ci --no-audit --no-fund && npm run --silent build

lock: .venv/development  ## resolves requirements/*.in anew
	@$(BIN)/python requirements/lock.py

# The locks name everything, so pip resolves nothing: it would take the newest of what somebody wants with an extra.
.venv/demo: requirements/demo.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing what Onedoor needs, once" && $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.venv-fakesnow/installed: requirements/fakesnow.txt
	@test -x .venv-fakesnow/bin/python || $(PYTHON) -m venv .venv-fakesnow
	@echo "installing the demo's Snowflake, once" && .venv-fakesnow/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.venv/development: requirements/development.txt .venv/demo | .venv-fakesnow/installed
	@echo "installing what the tests need, once" && $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@
