# Two commands on a fresh machine: `make run` and `make test`. Everything they need they bring.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
# The first Python that is new enough; looked for only when .venv has to be made.
PYTHON = $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
# A .venv whose Python has gone away is made anew, with everything in it.
$(shell [ -x $(PY) ] || rm -f $(VENV)/.run $(VENV)/.dev)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore
# Without the settings: importing them inside config/ would take config/providers.py for the app.
DJANGO_ADMIN := $(VENV)/bin/django-admin

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(PY):
	@python="$(PYTHON)"; [ -n "$$python" ] || { echo "Tasuki needs Python 3.11 or newer on the PATH (python3.11 or python3)." >&2; exit 1; }; \
	make_venv() { rm -rf $(VENV); "$$python" -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); "$$python" -m virtualenv -q $(VENV) >/dev/null 2>&1; }; }; \
	bring_venv() { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing Python's venv module ..." \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$$(basename "$$python")-venv" >/dev/null; }; \
	make_venv || { bring_venv && make_venv; } || { rm -rf $(VENV); \
	  echo "Tasuki needs Python's venv module: install python3-venv (Debian) or virtualenv, then try again." >&2; exit 1; }

$(VENV)/.run: requirements.txt constraints.txt | $(PY)
	@echo "Installing what Tasuki runs on ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-otel.txt $(VENV)/.run
	@echo "Installing what its checks and tests need ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

install: $(VENV)/.run ## Make .venv with what Tasuki runs on

run: $(VENV)/.run ## Run everything in one process, without services (PORT=8000)
	@exec $(PY) manage.py standalone --port $(PORT)

services-run: $(VENV)/.dev ## Run PostgreSQL, Redis, daphne, two workers and beat on this machine (PORT=8000)
	@exec $(PY) manage.py services_run --port $(PORT)

check: $(VENV)/.dev ## Format, lint, types, import rules, migrations, translations, API schema, system checks
	@$(VENV)/bin/ruff format --check --quiet . || { echo "Some files are not formatted: run $(VENV)/bin/ruff format" >&2; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/bandit --quiet --configfile pyproject.toml --severity-level medium -r ai_tasks chat config providers queueing
	@audit=$$($(VENV)/bin/pip-audit --progress-spinner off --disable-pip --no-deps -r constraints.txt 2>&1) || { \
	  if grep -q vulnerabilit <<<"$$audit"; then echo "$$audit" >&2; exit 1; fi; \
	  echo "Dependencies not audited: no advisories can be fetched from here." >&2; }; \
	skipped=$$(grep -c "could not be audited" <<<"$$audit"); [ "$$skipped" = 0 ] || echo "$$skipped dependencies not audited: their advisories are not to be had here." >&2
	@$(VENV)/bin/mypy .
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) manage.py makemigrations --check --dry-run
	@$(PY) manage.py check --fail-level WARNING
	@$(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null
	@command -v msgfmt >/dev/null || { echo "Translations not compared: msgfmt (gettext) is not here."; exit 0; }; \
	for po in */locale/*/LC_MESSAGES/django.po; do msgfmt -o - "$$po" | cmp -s - "$${po%.po}.mo" \
	  || { echo "$$po has changed since it was compiled: run make messages" >&2; exit 1; }; done
	@echo "All checks passed."

test: $(VENV)/.dev ## The whole suite: SQLite and a browser, then PostgreSQL and Redis
	@$(PY) -m tests.services --browser -- $(PY) -m tests.run

test-scale: $(VENV)/.dev ## The heavy runs
	@$(PY) -m tests.services -- $(PY) -m tests.run --scale

chaos: $(VENV)/.dev ## Kill, freeze, cut and flood a whole installation for some minutes; every promise must hold (SEED=...)
	@$(PY) manage.py chaos --controls $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.dev ## Fuzz what reads strangers' bytes, guided by coverage, SECONDS_EACH (30)
	@for target in sse body frame chat responses anthropic gemini; do printf "%-10s " $$target; \
	  said=$$($(PY) -W ignore -m tests.fuzzing $$target -max_total_time=$(or $(SECONDS_EACH),30) 2>&1) || { echo "$$said" >&2; exit 1; }; \
	  grep "^Done" <<<"$$said"; done

soak: $(VENV)/.dev ## The same for half an hour, with an eye on leaks; the evidence goes to var/soak.json (SOAK_SECONDS=1800)
	@mkdir -p var && $(PY) manage.py chaos --soak --evidence var/soak.json $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS))

bench: $(VENV)/.dev ## Measure everything, as docs/performance.md has it; a quarter of an hour
	@$(PY) manage.py benchmark report

screenshots: $(VENV)/.dev ## Take the README's pictures (docs/images/), and of every page in light, dark, on a phone and in Japanese (var/screenshots/)
	@$(PY) -m tests.services --browser -- $(PY) -m tests.screenshots var/screenshots

messages: $(VENV)/.dev ## Collect and compile the translations (needs gettext)
	@for app in providers queueing ai_tasks chat config; do (mkdir -p $$app/locale && cd $$app && ../$(DJANGO_ADMIN) makemessages -l ja --no-location && ../$(DJANGO_ADMIN) compilemessages -l ja) || exit 1; done

clean: ## Remove .venv and the tools' caches; what you made in var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install run services-run check test test-scale chaos soak fuzz bench screenshots messages clean
