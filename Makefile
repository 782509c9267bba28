# Thin recipes: what they do lives in Python. `make` alone prints the targets.
PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
RUN := $(VENV)/bin/python
RTLGRAD := $(VENV)/bin/rtlgrad
READY := $(VENV)/.ready

DESIGN ?=
MODEL ?= lenet5
DATA ?= fashion-mnist
LIBERTY ?=
INIT ?=
CHECKPOINT ?=
RUNS ?= out/runs
ARGS ?=

# OpenMP threads that spin while they wait are slow on a machine that does other work too.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup lut train eval report catalogue demo test lint bench doctor clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo
	@echo "  Variables: DESIGN, MODEL, DATA, INIT, LIBERTY, CHECKPOINT, RUNS; ARGS is passed on to rtlgrad."

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py

lut: $(READY) ## characterize rtl/, or one design: make lut DESIGN=mul8u_drum6
	@$(RTLGRAD) lut $(DESIGN) $(if $(LIBERTY),--liberty $(LIBERTY)) $(ARGS)

train: $(READY) ## train a network: make train DESIGN=mul8u_drum6 MODEL=lenet5 DATA=fashion-mnist
	@$(if $(DESIGN),$(RTLGRAD) lut $(DESIGN) $(if $(LIBERTY),--liberty $(LIBERTY)))
	@$(RTLGRAD) train --model $(MODEL) --data $(DATA) $(if $(DESIGN),--design $(DESIGN)) $(if $(INIT),--init $(INIT)) $(ARGS)

eval: $(READY) ## evaluate a run: make eval CHECKPOINT=out/runs/NAME
	@$(RTLGRAD) eval $(CHECKPOINT) $(ARGS)

report: $(READY) ## table the runs of a folder: make report RUNS=out/runs
	@$(RTLGRAD) report $(RUNS) $(ARGS)

catalogue: $(READY) ## one HTML page with all characterized designs: out/catalogue.html
	@$(RTLGRAD) catalogue $(ARGS)

demo: $(READY) ## the main job, end to end, in a few minutes
	@$(RTLGRAD) demo $(ARGS)

test: $(READY) ## lint and run all tests
	@$(RUN) scripts/check.py
	@$(RUN) -m pytest -n auto --dist loadfile $(ARGS)

lint: $(READY) ## ruff and mypy alone
	@$(RUN) scripts/check.py

bench: $(READY) ## measure the engines; JSON in out/bench.json
	@$(RUN) benchmarks/bench_engines.py --json out/bench.json $(ARGS)

doctor: $(READY) ## list every tool and what to do about a missing one
	@$(RTLGRAD) doctor $(ARGS)

clean: ## remove everything that was made, except .venv
	rm -rf out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
