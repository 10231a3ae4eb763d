# `make demo` shows Interlock at work, `make test` proves it. Each first sets up all it needs in .venv, and does so again
# only when a lock or pyproject.toml has changed.

DEMO := .venv/ready
DEV := .venv/ready-dev
UNLEASH := .venv/unleash/ready
MCP1 := .venv/mcp1/ready
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

ifneq ($(shell uname -s),Linux)
$(error Interlock runs on Linux only, and this is $(shell uname -s))
endif
ifeq ($(shell uname -m | grep -Ex 'x86_64|aarch64'),)
$(error Interlock runs on x86-64 and arm64 only, and this machine is $(shell uname -m))
endif
ifeq ($(shell getconf GNU_LIBC_VERSION 2>/dev/null | awk -F. '$$1 == "glibc 2" && $$2 >= 31'),)
$(error Interlock needs glibc 2.31 or newer (Debian 11, Ubuntu 20.04 or later), and here is $(or $(shell getconf GNU_LIBC_VERSION 2>/dev/null),another C library))
endif

# The newest Python of 3.11 or later; one that cannot make a virtual environment only when there is no other.
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; from importlib.util import find_spec as has; v = sys.version_info; \
	v >= (3, 11) and print(int(bool(has("venv") and has("ensurepip"))), v.minor, sys.executable)' 2>/dev/null; \
	done | sort -k1,1nr -k2,2nr | head -n 1 | cut -d ' ' -f 3-)

# Installs Debian packages when we are root; fails quietly where that cannot be.
APT = test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { apt-get -qq update; \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=60 install $(1); } \
	>/dev/null 2>&1 </dev/null

# An environment that was moved, or whose Python has gone, is made anew.
STALE := $(shell test "$$(cat $(DEMO) 2>/dev/null)" = "$(CURDIR)" && $(BIN)/python -c '' 2>/dev/null || echo stale)

.PHONY: help demo test lint bench bench-judge lock clean parts stale

help:
	@echo 'make demo    set up, then deploy a real service, watch a canary, and see a bad release taken back'
	@echo 'make test    set up, then check style, types and import rules, and run all tests'
	@echo 'make lint    the checks of `make test` without its tests'
	@echo 'make bench   measure what the README quotes'
	@echo 'make bench-judge   simulate rollouts: our judge beside Argo Rollouts, Flagger and Kayenta'
	@echo 'make lock    resolve the locks anew after a change of dependencies in pyproject.toml'
	@echo 'make clean   remove all that these commands made here'

demo: $(DEMO)
	@$(BIN)/interlock demo

test: lint parts $(UNLEASH) $(MCP1)
	@$(BIN)/python -m pytest --numprocesses 4 --dist worksteal $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --cache-dir .venv/import-linter

bench: $(DEV) parts $(UNLEASH)
	@$(BIN)/python -m bench $(ARGS)

# Simulated rollouts, then real ones; scenarios chosen by --only are simulated ones.
bench-judge: $(DEV)
	@status=0; $(BIN)/python -m bench.evaluator $(ARGS) || status=1; \
	$(if $(findstring --only,$(ARGS)),,$(BIN)/python -m bench.judged $(filter --quick --write,$(ARGS)) || status=1;) exit $$status

# The real programs that tests and measurements drive, each with the package that has it.
PARTS := wrk:wrk prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager ssh-keygen:openssh-client curl:curl \
	bash:bash mount:mount unshare:util-linux \
	buildah:buildah docker-registry:docker-registry dockerd:docker.io podman:podman runc:runc iptables:iptables \
	busybox:busybox-static sshd:openssh-server openssl:openssl ip:iproute2 pg_ctlcluster:postgresql npm:npm
MISSING = $(shell for part in $(PARTS); do command -v $${part%%:*} >/dev/null || echo $${part##*:}; done)
# Debian starts what it installs: for that time nothing may be started, and nothing is at the next boot.
POLICY := /usr/sbin/policy-rc.d
UNSTARTED = if test "$$(id -u)" = 0 && ! test -e $(POLICY); then \
	trap 'rm -f $(POLICY)' EXIT; printf '%s\n' '\#!/bin/sh' 'exit 101' > $(POLICY); chmod 755 $(POLICY); fi

parts:
	@missing='$(MISSING)'; test -z "$$missing" && exit; $(UNSTARTED); for part in $$missing; do \
		echo "Installing $$part"; $(call APT,$$part) && { systemctl disable $$part >/dev/null 2>&1; true; } \
			|| echo "$$part could not be installed here (Debian, Ubuntu: apt install $$part): tests that need it say so" >&2; \
	done

# The flag server that tests drive, each package as its lock has it, which names no registry; no package's scripts run.
$(UNLEASH): tests/unleash/package.json tests/unleash/package-lock.json | $(DEV) parts
	@mkdir -p $(@D) && cp $^ $(@D) && echo 'Installing Unleash for tests' && \
		(cd $(@D) && npm ci --ignore-scripts --omit=dev --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null) && touch $@ || \
		echo 'Unleash could not be installed here (it takes npm and Node 20): tests that need it say so' >&2

# A client of the protocol's earlier generation, which agents speak too.
$(MCP1): requirements-mcp1.txt | $(DEV)
	@echo 'Installing the earlier MCP client for tests'
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $< && touch $@ || \
		echo 'The earlier MCP client could not be installed here: tests that need it say so' >&2

$(DEMO): requirements.txt pyproject.toml $(STALE)
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "Interlock needs Python 3.11 or newer; here is $$(python3 -V 2>/dev/null || echo no python3): install one and run make again" >&2; exit 1; \
	fi; \
	version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	able() { "$$python" -c 'import ensurepip, venv' 2>/dev/null; }; \
	if ! able; then echo "Installing python$$version-venv"; $(call APT,python$$version-venv) || true; fi; \
	if ! able; then \
		echo "Python $$version has no venv and ensurepip: install them (Debian, Ubuntu: apt install python$$version-venv) and run make again" >&2; exit 1; \
	fi; \
	echo "Setting up .venv with Python $$version"; \
	"$$python" -m venv .venv
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@printf '%s\n' "$(CURDIR)" > $@

$(DEV): requirements-dev.txt $(DEMO)
	@echo 'Installing the tools for tests'
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

stale:
	@rm -rf .venv

# Both locks serve every Python from 3.11 on; they name no registry, so that they work with any.
lock: export UV_CUSTOM_COMPILE_COMMAND := make lock
lock: $(DEMO)
	@$(PIP) install uv
	@$(BIN)/uv --quiet pip compile --system-certs --universal --generate-hashes --upgrade pyproject.toml --group build -o requirements.txt
	@$(BIN)/uv --quiet pip compile --system-certs --universal --generate-hashes --upgrade pyproject.toml --group build --group dev \
		-c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv --quiet pip compile --system-certs --universal --generate-hashes --upgrade --group mcp1 -o requirements-mcp1.txt

clean:
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests -name __pycache__ -prune -exec rm -rf {} +
