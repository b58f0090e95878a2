# Every chore has one verb, the same on a laptop and in CI. `make` alone lists them.
#
# PYTHON  the interpreter that .venv is made with (3.10 or newer)
# VENV    where that environment lives
# ARGS    more arguments for the command behind a verb: make test ARGS="-x -k ring"
# QUICK   make bench QUICK=1: every benchmark once, to prove that it runs
# BENCH_PYTHON  an interpreter that has the benchmarks' libraries; none: .venv gets them

PYTHON ?= python3
VENV = .venv
ARGS =
QUICK =
BENCH_PYTHON =
BENCH_COLUMNS = --benchmark-columns=min,median,iqr,ops --benchmark-sort=name
BENCH_QUICKLY = --benchmark-disable-gc --benchmark-max-time=0.02 --benchmark-min-rounds=1 \
    --benchmark-calibration-precision=1 --benchmark-columns=median --benchmark-sort=name

# Only `make demo SECONDS=20` counts: bash has a clock of that name, which `set -a` exports.
ifneq ($(origin SECONDS),command line)
override SECONDS :=
endif

# An interpreter that was asked for replaces an environment that another one made; the default
# does not.
PYTHON_CHOSEN := $(if $(filter file,$(origin PYTHON)),,yes)

# One shell a recipe. Its last command takes its place (exec): Ctrl-C then reaches one process, which
# ends cleanly, and make has nothing to complain about.
.ONESHELL:
SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help

BIN = $(VENV)/bin
PIP = '$(BIN)/python' -m pip --disable-pip-version-check --quiet --quiet

# $(call install,EXTRA): sees to an environment that holds the project and what EXTRA needs. The mark
# of a finished installation is a copy of the pyproject.toml that was installed.
define install
(
	extra='$(strip $(1))'
	version='import sys; print("%d.%d" % sys.version_info[:2])'
	recent='import sys; sys.exit(sys.version_info < (3, 10))'

	if [ -n '$(PYTHON_CHOSEN)' ] || ! '$(BIN)/python' -c "import pip; $$recent" 2>/dev/null; then
	    if ! new=$$('$(PYTHON)' -c "$$version" 2>/dev/null); then
	        echo "'$(PYTHON)' does not run here. Install Python 3.10 or newer, or say where one is:" \
	            "make PYTHON=python3.12 …" >&2
	        exit 1
	    fi
	    if ! '$(PYTHON)' -c "$$recent"; then
	        echo "'$(PYTHON)' is Python $$new, and 3.10 or newer is needed. Say where one is:" \
	            "make PYTHON=python3.12 …" >&2
	        exit 1
	    fi
	    old=$$('$(BIN)/python' -c "import pip; $$version" 2>/dev/null) || old=none
	    if [ "$$old" != "$$new" ]; then
	        echo "Making $(VENV) with Python $$new …"
	        rm -rf '$(VENV)'
	        if ! said=$$('$(PYTHON)' -m venv '$(VENV)' 2>&1); then
	            rm -rf '$(VENV)'
	            echo "$$said" >&2
	            echo "'$(PYTHON)' cannot make a virtual environment." \
	                "On Debian and Ubuntu: apt install python3-venv" >&2
	            exit 1
	        fi
	    fi
	fi

	for mark in '$(VENV)'/.installed-$${extra:-*}; do
	    if cmp -s pyproject.toml "$$mark"; then exit 0; fi
	done
	echo "Installing market-monitor$${extra:+[$$extra]} into $(VENV) (about a minute) …"
	# The pip of Python 3.10.0 cannot install in place without a setup.py.
	$(PIP) install 'pip>=22.3'
	$(PIP) install --editable ".$${extra:+[$$extra]}"
	cp pyproject.toml '$(VENV)'/.installed-"$${extra:-run}"
	# Settings that are wrong are for the command itself to tell.
	if [ -z "$$extra" ]; then '$(BIN)/python' -m monitor warm 2>/dev/null || :; fi
)
endef

.PHONY: help demo run test stress bench notebooks lint format clean

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' '$(firstword $(MAKEFILE_LIST))' |
	while IFS='|' read -r verb does; do printf 'make %-8s %s\n' "$$verb" "$$does"; done

demo: ## embedded exchange, service and live table, until Ctrl-C (SECONDS=20: for 20 s)
	@$(call install)
	exec '$(BIN)/python' -m monitor demo $(if $(SECONDS),--seconds '$(SECONDS)') $(ARGS)

run: ## the service, on live Hyperliquid
	@$(call install)
	exec '$(BIN)/python' -m monitor run $(ARGS)

test: ## the whole quick suite
	@$(call install,test)
	exec '$(BIN)/python' -m pytest $(ARGS)

stress: ## kills, torn reads, fuzz and a day of chaos at full length, about an hour
	@$(call install,test)
	'$(BIN)/python' benchmarks/stress/kill.py
	STRESS_EVERY=1 '$(BIN)/python' -m pytest tests/test_mending.py
	'$(BIN)/python' benchmarks/stress/tear.py
	'$(BIN)/python' benchmarks/stress/fuzz.py
	exec '$(BIN)/python' benchmarks/stress/chaos.py $(ARGS)

bench: ## the benchmarks beside their peers (QUICK=1: only prove that they run)
	@if [ -z '$(BENCH_PYTHON)' ]; then
	    $(call install,bench)
	fi
	python='$(or $(BENCH_PYTHON),$(BIN)/python)'
	if [ -n '$(QUICK)' ]; then
	    BENCH_QUICK=1 exec "$$python" -m pytest benchmarks $(BENCH_QUICKLY) $(ARGS)
	fi
	mkdir -p benchmarks/results
	"$$python" -m pytest benchmarks --benchmark-json=benchmarks/results/run.json $(BENCH_COLUMNS) $(ARGS)
	exec "$$python" benchmarks/report.py

notebooks: ## execute the notebooks on the embedded exchange, and keep their outputs
	@$(call install,notebook)
	exec '$(BIN)/python' notebooks/execute.py $(ARGS)

lint: ## style, format, types, Dockerfile, compose file and import rules
	@$(call install,lint)
	'$(BIN)/ruff' check .
	'$(BIN)/ruff' format --check .
	'$(BIN)/mypy'
	if [ -x '$(BIN)/hadolint' ]; then '$(BIN)/hadolint' Dockerfile; else echo 'hadolint: not on this processor'; fi
	'$(BIN)/check-jsonschema' --builtin-schema vendor.compose-spec compose.yaml
	exec '$(BIN)/lint-imports' --no-cache --no-logo

format: ## mend style and format where a tool can
	@$(call install,lint)
	'$(BIN)/ruff' check --fix-only --quiet .
	exec '$(BIN)/ruff' format .

clean: ## remove the environment, caches and build artefacts
	@rm -rf '$(VENV)' build dist ./*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
