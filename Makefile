# Farlab: `make demo` starts it, `make test` tests it, `make check` lints it, `make bench` measures it.
# Each does its own set-up; nothing is installed outside this folder except Debian packages (as root).

# Debian's own Python first: other local accounts can run it, which jobs of mapped accounts need.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3.12 /usr/bin/python3.13) python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
# Here the panels are built by extensions/.stamp alone, from the lock file, and not by each pip install.
export HATCH_JUPYTER_BUILDER_SKIP_NPM := 1

TS_SOURCES := $(wildcard extensions/*/src/*.ts* extensions/*/src/*/*.ts* extensions/*/style/* extensions/*/style/*/* extensions/*/schema/* extensions/*/package.json) tsconfig.base.json

# Builds the tests' Kubernetes and S3 server: minutes the first time on a machine, then nothing.
GO_BUILDS := $(PYTHON) tests/real/farlab_real/go_builds.py
# Fetches the tests' OpenID Connect provider, likewise once.
KEYCLOAK := $(PYTHON) tests/real/farlab_real/keycloak_build.py

.PHONY: demo test check bench lock lab clean go-builds-begun

demo: .venv/.demo-stamp .venv-rucio/.stamp .venv-alise/.stamp extensions/.stamp
	$(BIN)/python demo/start.py

test: go-builds-begun .venv/.stamp .venv/.hub5-stamp .venv-rucio/.stamp .venv-rucio-jupyterlab/.stamp .venv-alise/.stamp extensions/.stamp .venv/.packages-stamp
	$(GO_BUILDS)
	$(KEYCLOAK)
	$(BIN)/jlpm test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: .venv/.stamp node_modules/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/jlpm lint

bench: .venv-bench/.stamp .venv-rucio/.stamp .venv-rucio-jupyterlab/.stamp .venv-alise/.stamp extensions/.stamp .venv/.packages-stamp
	$(KEYCLOAK)
	.venv-bench/bin/python benchmarks/run.py --quick

# The whole set of versions that a green run was made with. Names and versions only.
lock: .venv/.stamp
	$(BIN)/pip freeze --exclude-editable | grep -v ' @ ' > requirements.lock

lab: extensions/.stamp

clean:
	rm -rf .venv .venv-hub5 .venv-bench .venv-alise .venv-rucio .venv-rucio-jupyterlab node_modules extensions/.stamp extensions/lab/lib extensions/lab/labextension

# In the background, while the other set-up goes on: `test` waits for it and shows what went wrong.
go-builds-begun:
	@($(KEYCLOAK); $(GO_BUILDS)) >/dev/null 2>&1 &

.venv/bin/pip:
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || sh tests/real/install-packages python3-venv
	$(PYTHON) -m venv .venv

.venv/.stamp: pyproject.toml requirements.lock | .venv/bin/pip
	$(BIN)/pip install -q hatchling hatch-jupyter-builder editables jupyter-builder -c requirements.lock
	$(BIN)/pip install -q --no-build-isolation -c requirements.lock -e ".[test]"
	@touch $@

# JupyterHub 5.5 is where most hubs are: the main path is tested on it too.
.venv/.hub5-stamp: .venv/.stamp
	$(PYTHON) -m venv .venv-hub5
	grep -v '^jupyterhub==' requirements.lock > .venv-hub5/constraints.txt
	.venv-hub5/bin/pip install -q hatchling hatch-jupyter-builder editables jupyter-builder -c .venv-hub5/constraints.txt
	.venv-hub5/bin/pip install -q --no-build-isolation -c .venv-hub5/constraints.txt -e ".[hub]" "jupyterhub==5.5.*"
	@touch $@

# The peers that benchmarks measure beside: some of them change JupyterLab, which tests look at.
.venv-bench/.stamp: .venv/.stamp
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -q hatchling hatch-jupyter-builder editables jupyter-builder -c requirements.lock
	.venv-bench/bin/pip install -q --no-build-isolation -c requirements.lock -e ".[bench]"
	@touch $@

# A Rucio server: its packages and those of Rucio's client share one name.
.venv-rucio/.stamp: tests/real/rucio.lock | .venv/bin/pip
	$(PYTHON) -m venv .venv-rucio
	.venv-rucio/bin/pip install -q -r tests/real/rucio.lock
	@touch $@

# ALISE: it needs older versions of what others need new. It wants Python 3.12 only for two log
# lines with a backslash inside an f-string's braces: chr(10) says the same to 3.11.
.venv-alise/.stamp: tests/real/alise.lock | .venv/bin/pip
	$(PYTHON) -m venv .venv-alise
	.venv-alise/bin/pip install -q --ignore-requires-python -r tests/real/alise.lock
	sed -i "s/'.n'\.join(/chr(10).join(/" .venv-alise/lib/python3*/site-packages/alise/router_api.py
	@touch $@

# The extension that the benchmarks measure beside, and a test runs beside ours; it changes JupyterLab too.
.venv-rucio-jupyterlab/.stamp: benchmarks/rucio-jupyterlab.lock | .venv/bin/pip
	$(PYTHON) -m venv .venv-rucio-jupyterlab
	.venv-rucio-jupyterlab/bin/pip install -q -r benchmarks/rucio-jupyterlab.lock
	@touch $@

# The demo's quantum site simulates its circuits.
.venv/.demo-stamp: .venv/.stamp
	$(BIN)/pip install -q -c requirements.lock -e ".[quantum]" --no-build-isolation
	@touch $@

.venv/.packages-stamp: tests/real/packages.txt | .venv/bin/pip
	sh tests/real/install-packages
	@touch $@

node_modules/.stamp: package.json yarn.lock | .venv/.stamp
	$(BIN)/jlpm install --immutable
	@touch $@

extensions/.stamp: node_modules/.stamp $(TS_SOURCES)
	$(BIN)/jlpm build:prod
	$(BIN)/pip install -q --no-build-isolation --no-deps -e .
	@touch $@
