# `make` says what there is to do. Everything stays inside this folder, but for pip's and uv's package caches.
PYTHON ?= python3
PRESET ?= cpu
DATA ?=
OUT ?=
ARGS ?=

BIN := $(CURDIR)/.venv/bin
READY := .venv/ready
VAR := $(CURDIR)/.venv/var
export PATH := $(BIN):$(PATH)
export JUPYTER_CONFIG_DIR := $(VAR)/jupyter
export JUPYTER_DATA_DIR := $(VAR)/jupyter
export JUPYTER_RUNTIME_DIR := $(VAR)/runtime
export IPYTHONDIR := $(VAR)/ipython
export MPLCONFIGDIR := $(VAR)/matplotlib
export XDG_CONFIG_HOME := $(VAR)/config
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test browser quick lab play book readme export lock clean

help: ## what there is to do
	@echo "SampleVAE: learn an instrument from a folder of sounds"; echo
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10
	@echo; echo "  make run PRESET=gpu DATA=~/my-samples OUT=outputs/mine ARGS='--set latent=32'"

setup: $(READY) ## install everything into .venv (the others do this first)

$(READY): requirements.lock settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@echo "setting up .venv; the first time this takes some minutes and 6 GB"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# compiled now: where PYTHONDONTWRITEBYTECODE is set, every process would compile torch anew (3 s each)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@# for comparison in the tests alone, and apart: where it can be imported, Fabric takes eight seconds more to begin
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --target .venv/apart torchmetrics==1.9.0
	@# its pins (numpy 1.23) cannot be met, and only its weights are read; without a network the embedding is left out
	@echo 'aisfx==0.1.2 --hash=sha256:bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194' \
		| $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r - \
		|| echo "the embedding aisfx could not be had; the others do without"
	@mkdir -p $(VAR) && touch $(READY)

run: $(READY) ## sounds in, new sounds and a report out: PRESET=cpu DATA= OUT= ARGS=
	@samplevae run --preset $(PRESET) $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") $(ARGS)

test: $(READY) browser ## everything that is checked
	@python -m pytest $(ARGS)

# the page is tested in a real one; where it cannot be had, these tests are left out, and say so
browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1; } \
		|| echo "there is no Chromium, and it cannot be installed here: the tests of the page will be left out"

quick: $(READY) ## the most important checks, in two minutes
	@python -m pytest -m "quick and not slow" $(ARGS)

lab: $(READY) ## the chapters in JupyterLab
	@jupyter lab --notebook-dir nbs $(ARGS)

play: $(READY) ## an instrument, in the browser: DATA=, the newest run in outputs, or the one that came with the clone
	@samplevae play $(if $(DATA),"$(DATA)") $(ARGS)

book: $(READY) ## run every chapter on real settings, keep the outputs, render outputs/book
	@python -m samplevae.book $(PRESET)

readme: $(READY) ## write README.md from nbs/index.ipynb
	@python -m samplevae.book readme

export: $(READY) ## write samplevae/*.py from nbs/*.ipynb, clean and format the notebooks
	@ruff format --quiet nbs tests setup.py && nbdev_clean && nbdev_export

lock: $(READY) ## pin the requirements of settings.ini anew in requirements.lock
	@python setup.py requirements | uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header - -o requirements.lock

clean: ## remove .venv; runs and stores are kept
	rm -rf .venv *.egg-info
