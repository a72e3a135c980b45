# The commands of the README. Everything is installed into .venv by these targets; nothing needs installing by hand.
PYTHON ?= python3
EXTRAS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes -r
OURSELVES := $(PIP) install --no-deps --no-build-isolation -e .

.PHONY: help install demo serve test check format bench flatness campaign docs lock clean

help:
	@echo "make demo      one device, from its key to its first message on the hub"
	@echo "make serve     the service on the default ports, state in .data"
	@echo "make test      the whole suite          make check     format, lint, types, imports"
	@echo "make bench     the benchmarks           make campaign  the long tests"
	@echo "make flatness  a million devices: what stays as cheap as with a thousand (half an hour, 4 GB)"
	@echo "make docs      the documentation as a site, in site/"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "accredit needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/base.stamp: requirements/base.lock pyproject.toml | $(BIN)/python
	@echo "Installing accredit into $(VENV) ..."
	@$(INSTALL) requirements/base.lock
	@$(OURSELVES)
	@touch $@

$(VENV)/demo.stamp: requirements/demo.lock $(VENV)/base.stamp
	@echo "Installing the Azure device SDK into $(VENV) ..."
	@$(INSTALL) requirements/demo.lock
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/base.stamp
	@echo "Installing what the checks and tests need into $(VENV) ..."
	@$(INSTALL) requirements/dev.lock
	@touch $@

$(VENV)/fuzz.stamp: requirements/fuzz.lock $(VENV)/dev.stamp
	@$(INSTALL) requirements/fuzz.lock
	@touch $@

$(VENV)/plots.stamp: requirements/plots.lock $(VENV)/dev.stamp
	@$(INSTALL) requirements/plots.lock
	@touch $@

# An extra is what has a lock of its name; these locks are of other things.
KNOWN_EXTRAS := $(filter-out base dev fuzz plots,$(patsubst requirements/%.lock,%,$(wildcard requirements/*.lock)))
comma := ,

install: $(VENV)/base.stamp
	@for extra in $(subst $(comma), ,$(EXTRAS)); do case " $(KNOWN_EXTRAS) " in *" $$extra "*) ;; \
	  *) echo "there is no extra named $$extra; there are: $(KNOWN_EXTRAS)" >&2; exit 1 ;; esac; done
	@for extra in $(subst $(comma), ,$(EXTRAS)); do $(MAKE) -s $(VENV)/$$extra.stamp || exit 1; done

$(VENV)/amqp.stamp: requirements/amqp.lock $(VENV)/base.stamp
	@echo "Building Qpid Proton into $(VENV), for AMQP ..."
	@$(INSTALL) requirements/amqp.lock || { echo "Qpid Proton is compiled when it is installed, which needs a C compiler \
	and the headers of Python and OpenSSL; on Debian: apt-get install gcc python3-dev libssl-dev pkg-config" >&2; exit 1; }
	@touch $@

$(VENV)/otel.stamp: requirements/otel.lock $(VENV)/base.stamp
	@echo "Installing OpenTelemetry into $(VENV), for traces ..."
	@$(INSTALL) requirements/otel.lock
	@touch $@

$(VENV)/pkcs11.stamp: requirements/pkcs11.lock $(VENV)/base.stamp
	@echo "Installing what speaks to PKCS#11 tokens into $(VENV) ..."
	@$(INSTALL) requirements/pkcs11.lock
	@touch $@

demo: $(VENV)/demo.stamp
	@$(BIN)/accredit demo

serve: $(VENV)/base.stamp
	@$(BIN)/accredit serve --data-dir .data

# With bytecode even where the environment forbids it: each worker would compile every test, and each program that they start its sources.
test: $(VENV)/dev.stamp
	@scripts/test-needs
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 4 --dist worksteal

check: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(VENV)/dev.stamp
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/dev.stamp
	@scripts/test-needs
	@PYTHONPATH=tests $(BIN)/python -m benchmarks

flatness: $(VENV)/plots.stamp
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.flatness

campaign: $(VENV)/fuzz.stamp
	@scripts/test-needs
	@$(BIN)/pytest tests/campaigns tests/deploy --campaign -q

docs: $(VENV)/dev.stamp
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "the documentation is in site/index.html"

# Needs uv (pip install uv). Pins with hashes, for every platform, without registry addresses.
LOCK := uv pip compile pyproject.toml requirements/build.in --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet
lock:
	$(LOCK) -o requirements/base.lock
	$(LOCK) --extra demo -c requirements/base.lock -o requirements/demo.lock
	$(LOCK) --extra amqp -c requirements/base.lock -o requirements/amqp.lock
	$(LOCK) --extra otel -c requirements/base.lock -o requirements/otel.lock
	$(LOCK) --extra pkcs11 -c requirements/base.lock -o requirements/pkcs11.lock
	$(LOCK) --extra demo --extra otel --group test --group check --group docs -c requirements/base.lock -o requirements/dev.lock
	$(LOCK) --group fuzz -c requirements/base.lock -o requirements/fuzz.lock
	$(LOCK) --group plots -c requirements/base.lock -o requirements/plots.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
