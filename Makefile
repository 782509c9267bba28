# Thin recipes: what they do lives in Python. `make` alone prints the targets.
PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
RUN := $(VENV)/bin/python
RTLGRAD := $(VENV)/bin/rtlgrad
READY := $(VENV)/.ready
# A GPU machine needs no HDL tools: pip install -e '.[cuda12]' (or cuda13, as torch) pytest hypothesis.
GPU_PYTHON ?= $(if $(wildcard $(RUN)),$(RUN),python3)

DESIGN ?=
MODEL ?= lenet5
DATA ?= fashion-mnist
LIBERTY ?=
INIT ?=
CHECKPOINT ?=
RUNS ?= out/runs
EVOAPPROX ?=
STUDY ?=
ARGS ?=

# OpenMP threads that spin while they wait are slow on a machine that does other work too.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup lut train eval report catalogue conformance demo test test-all lint bench bench-lut experiments sanitize test-aarch64 test-gpu bench-gpu fuzz doctor clean

help: ## print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo "  Variables: DESIGN, MODEL, DATA, INIT, LIBERTY, CHECKPOINT, RUNS, EVOAPPROX, STUDY; ARGS is passed on to rtlgrad."

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

conformance: $(READY) ## compare EvoApproxLib with its models and figures: make conformance EVOAPPROX=CHECKOUT
	@$(if $(EVOAPPROX),,$(error say where a checkout of EvoApproxLib is: make conformance EVOAPPROX=path/to/evoapproxlib))
	@$(RTLGRAD) conformance $(EVOAPPROX) $(if $(LIBERTY),--liberty $(LIBERTY)) $(ARGS)

demo: $(READY) ## the main job, end to end, in a few minutes
	@$(RTLGRAD) demo $(ARGS)

test: $(READY) ## lint and run all tests
	@$(RUN) scripts/check.py
	@$(RUN) -m pytest -n auto --dist loadfile $(ARGS)

test-all: $(READY) ## the same with the tests that everyday runs leave out, as CI does
	@$(MAKE) --no-print-directory test ARGS="--slow $(ARGS)"

lint: $(READY) ## ruff and mypy alone
	@$(RUN) scripts/check.py

bench: $(READY) ## measure engines and characterization; JSON in out/bench.json and out/bench-lut.json
	@$(RUN) benchmarks/bench_engines.py --json out/bench.json $(ARGS)
	@$(RUN) benchmarks/bench_characterize.py --json out/bench-lut.json

bench-lut: $(READY) ## measure characterization alone; JSON in out/bench-lut.json
	@$(RUN) benchmarks/bench_characterize.py --json out/bench-lut.json $(ARGS)

experiments: $(READY) ## do a study of docs/experiments.md, or go on with it: make experiments STUDY=noise
	@$(if $(STUDY),,$(error say which study: make experiments STUDY=NAME; docs/experiments.md lists them))
	@PYTHONPATH=benchmarks $(RUN) -m experiments $(STUDY) $(ARGS)

sanitize: $(READY) ## the native engine's tests under ASan and UBSan, then TSan (slow)
	@$(RUN) scripts/sanitize.py $(ARGS)

test-aarch64: $(READY) ## the native engine's tests on aarch64 kernels under QEMU (slow)
	@$(RUN) scripts/aarch64.py $(ARGS)

test-gpu: ## on a machine with a GPU: compare the CUDA engine with the specification
	@$(GPU_PYTHON) -m rtlgrad.nn.engines.cuda
	@$(GPU_PYTHON) -m pytest tests/nn/cuda -m gpu $(ARGS)

bench-gpu: ## on a machine with a GPU: time layers of ResNets; JSON in out/bench-gpu.json
	@$(GPU_PYTHON) benchmarks/bench_gpu.py --json out/bench-gpu.json $(ARGS)

fuzz: $(READY) ## characterize 500 spoiled designs, each to a right table or a clear error
	@$(RUN) tests/fuzz/fuzz.py $(ARGS)

doctor: $(READY) ## list every tool and what to do about a missing one
	@$(RTLGRAD) doctor $(ARGS)

clean: ## remove everything that was made, except .venv
	rm -rf out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
