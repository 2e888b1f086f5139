# Two commands on a fresh machine: `make run` and `make test`. Everything they need they bring.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(PY):
	@[ -n "$(PYTHON)" ] || { echo "Tasuki needs Python 3.11 or newer as python3.11 or python3 on the PATH." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); echo "Installing Python's venv module ..."; \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; } \
	  && $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; install it (Debian: apt install python3-venv)." >&2; exit 1; }; }

$(VENV)/.run: requirements.txt constraints.txt | $(PY)
	@echo "Installing what Tasuki runs on ..."
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing what its tests need ..."
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

install: $(VENV)/.run ## Make .venv with what Tasuki runs on

run: $(VENV)/.run ## Run everything in one process, without services (PORT=8000)
	@exec $(PY) manage.py standalone --port $(PORT)

services-run: $(VENV)/.dev ## Run PostgreSQL, Redis, daphne, two workers and beat on this machine (PORT=8000)
	@exec $(PY) manage.py services_run --port $(PORT)

check: $(VENV)/.dev ## Format, lint, types, import rules, migrations, system checks
	@$(VENV)/bin/ruff format --check --quiet . || { echo "Run .venv/bin/ruff format ." >&2; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy config chat ai_tasks queueing providers
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) manage.py makemigrations --check --dry-run
	@$(PY) manage.py check --fail-level WARNING
	@$(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null
	@echo "All checks passed."

test: $(VENV)/.dev ## The whole suite: SQLite, then PostgreSQL and Redis, then a browser
	@$(PY) -m tests.services --browser -- $(PY) -m tests.run

test-scale: $(VENV)/.dev ## The heavy runs
	@$(PY) -m tests.services -- $(PY) -m pytest -q -m scale

bench: $(VENV)/.dev ## Measure the latency from POST to the provider's call, embedded and with services
	@$(PY) manage.py benchmark latency

messages: $(VENV)/.dev ## Collect and compile the translations (needs gettext)
	@for app in ai_tasks chat; do (cd $$app && ../$(PY) ../manage.py makemessages -l ja --no-location && ../$(PY) ../manage.py compilemessages -l ja) || exit 1; done

clean: ## Remove what make made, data included
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help install run services-run check test test-scale bench messages clean
