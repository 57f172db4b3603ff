# Two commands matter: `make demo` and `make test`. Each does all the set-up
# that is missing; `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export KERAS_BACKEND ?= tensorflow
export TF_CPP_MIN_LOG_LEVEL ?= 2

# 3.11 comes first: it is the one that constraints.txt was tested with.
PYTHONS := python3.11 python3.12 python3.13 python3 python
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for p in $(PYTHONS); do \
	if $$p -c '$(SUPPORTED)' 2>/dev/null; then echo $$p; break; fi; done)
endif

WORKERS ?= 2
PYTEST_ARGS ?=
PYTEST := -m pytest -q -n $(WORKERS) --dist worksteal --durations=15
# What runs on the jax and torch backends.
BACKENDS ?= jax torch
BACKEND_TESTS ?= tests/pixmodels tests/test_harness.py \
	tests/training/test_jax_driver.py
BACKEND_EXTRAS := test,jax,parity

# An environment is complete when it holds a stamp with the key of what went
# into it, so a second call costs nothing and a changed file is noticed.
KEY := $(shell (echo $(CURDIR); cat setup.cfg pyproject.toml constraints.txt \
	Makefile) | sha256sum | cut -c 1-16)
READY := .venv/.ready-$(KEY)
READY_BACKENDS := .venv-backends/.ready-$(KEY)

##   make demo            render, pre-train, fine-tune, export: runs/demo/
.PHONY: demo
demo: system $(READY)
	.venv/bin/pixmodels demo --workdir runs/demo

##   make test            lint, format and the fast tests
.PHONY: test
test: lint
	.venv/bin/python $(PYTEST) $(PYTEST_ARGS)

##   make test-slow       the tests marked slow
.PHONY: test-slow
test-slow: system $(READY)
	.venv/bin/python $(PYTEST) -m slow $(PYTEST_ARGS)

##   make test-parity     comparisons with the original PyTorch code
.PHONY: test-parity
test-parity: system $(READY_BACKENDS)
	.venv-backends/bin/python $(PYTEST) -m parity $(PYTEST_ARGS)

##   make test-backends   the maths on the jax and torch backends
.PHONY: test-backends
test-backends: system $(READY_BACKENDS)
	for backend in $(BACKENDS); do \
		echo "== backend $$backend"; \
		KERAS_BACKEND=$$backend .venv-backends/bin/python $(PYTEST) \
			$(PYTEST_ARGS) $(BACKEND_TESTS); \
	done

##   make lint            ruff, without changing a file
.PHONY: lint
lint: system $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

##   make format          ruff, rewriting files
.PHONY: format
format: system $(READY)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

##   make setup           only the set-up
.PHONY: setup
setup: system $(READY)

##   make clean           remove caches and build output
.PHONY: clean
clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

##   make distclean       also remove the environments and runs/
.PHONY: distclean
distclean: clean
	rm -rf .venv .venv-backends runs

.PHONY: help
help:
	@sed -n 's/^##//p' Makefile

.PHONY: system
system:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python from 3.11 to 3.13 found (tried: $(PYTHONS))." \
			"Install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi
	@.ci/system-packages "$(PYTHON)"

# $(1): the environment's folder, $(2): the extras.
define install
	[ -x $(1)/bin/python ] || "$(PYTHON)" -m venv $(1)
	@echo "== installing into $(1): minutes, the first time"
	$(1)/bin/python -m pip install -qq --disable-pip-version-check \
		-c constraints.txt -e '.[$(2)]'
	rm -f $(1)/.ready-*
	touch $@
endef

$(READY): | system
	$(call install,.venv,test)

$(READY_BACKENDS): | system
	$(call install,.venv-backends,$(BACKEND_EXTRAS))
