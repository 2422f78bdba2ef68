# Croft's front door. `make run` and `make test` work on a fresh Debian 12: they install what is
# missing, build, fetch the two default models, and go. `make` builds build/croft; `make help` lists
# the rest.
#
#   CC=clang               another compiler (its own build folder)
#   SANITIZE=address,undefined | thread
#   FILTER=text            only test files, or tests, whose name contains the text
#   DOCS=folder ASK=...    for make run

SHELL := /bin/sh
SANITIZE ?=
FILTER ?=
DOCS ?= docs
ASK ?=
DATA ?=
DB ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

ifneq ($(origin CC),default)
suffix := -$(notdir $(CC))
export CC
endif
ifneq ($(SANITIZE),)
comma := ,
suffix := $(suffix)-$(subst $(comma),-,$(SANITIZE))
meson_options := -Db_sanitize=$(SANITIZE) -Db_lundef=false
endif
BUILD ?= build$(suffix)


.DEFAULT_GOAL := build
.PHONY: all build run test test-postgres fault test-browser bench bench-otlp bench-tracking bench-engine bench-http bench-retrieval bench-vector oracle models \
	fuzz lint format install clean help setup

setup:
	@tools/setup.sh run

$(BUILD)/build.ninja: | setup
	meson setup $(meson_options) $(BUILD)

build: setup $(BUILD)/build.ninja ## build/croft; what `make` alone does
	@ninja -C $(BUILD) -j $(JOBS) croft

all: setup $(BUILD)/build.ninja ## build/croft, tests, fuzz replays, benchmarks
	@ninja -C $(BUILD) -j $(JOBS)

run: build ## install, build, fetch models, index DOCS, serve, answer a first question
	@tools/run.sh $(BUILD)/croft "$(DOCS)" "$(ASK)"

models: build ## fetch the default models for tests and benchmarks
	@tools/models.sh $(BUILD)/croft

test: setup-test all models ## every test but the browser's (DB=postgres: on PostgreSQL)
	@CROFT_TEST_DB="$(DB)" tools/test.sh $(BUILD) "$(FILTER)"

# what opens an instance; the store's own tests run on both databases anyway
test-postgres: setup-test all models ## the tests that open an instance, on PostgreSQL
	@CROFT_TEST_DB=postgres tools/test.sh $(BUILD) \
		'test_\(access\|api\|app\|artifact\|cli\|endpoint\|module\|rag\|run\)\|e2e/'

test-browser: setup-test all models ## the web page in headless Chromium
	@tools/test.sh $(BUILD) "$(FILTER)" browser

bench: bench-engine bench-retrieval bench-otlp ## every benchmark

bench-engine: all models ## ours beside llama.cpp: prompt, decode, embeddings, load, memory
	@bench/engine.sh $(BUILD)

bench-http: all ## requests a second, plain and TLS, beside nginx when it is installed
	@bench/http.sh $(BUILD)

.PHONY: bench-mask
bench-mask: all models ## masks of whole vocabularies for structured output, beside llguidance
	@bench/mask.sh $(BUILD)

.PHONY: bench-load
bench-load: all models ## thousands of idle streams, hundreds of clients, and hostile ones (SECONDS=600)
	@CROFT_TEST_MODELS=$(BUILD)/models CROFT_BUILD=$(BUILD) python3 bench/load.py $(BUILD)

.PHONY: bench-gateway
bench-gateway: all ## what a gateway adds to a provider's latency, beside LiteLLM's proxy
	@bench/gateway.sh $(BUILD)

bench-retrieval: all models ## nDCG and recall on BEIR-layout sets (DATA=folder RERANK=folder MODEL=folder QUERIES=N)
	@bench/retrieval.sh $(BUILD) "$(DATA)"

.PHONY: bench-keyword
bench-keyword: all ## keyword search (BM25) beside rank_bm25, bm25s and tantivy
	@bench/keyword.sh $(BUILD)

.PHONY: bench-sparse
bench-sparse: all ## sparse vectors beside SciPy and NumPy (N=200000)
	@bench/sparse.sh $(BUILD)

.PHONY: bench-collections
bench-collections: all ## collections through HTTP with JSON: puts, queries, opening (ITEMS=200000 DIM=384)
	@bench/collections.sh $(BUILD)

.PHONY: bench-opening
bench-opening: all ## opening a collection with its saved files and without, hybrid search (ITEMS=200000 DIM=64)
	@python3 bench/opening.py $(BUILD)

.PHONY: bench-versions
bench-versions: all ## versions of collections: commit, diff, search, restore, bytes (ITEMS=100000 DIM=384)
	@bench/versions.sh $(BUILD)

bench-vector: all ## the vector index beside hnswlib, USearch and FAISS (SETS="glove 200000x384")
	@bench/vector.sh $(BUILD)

.PHONY: bench-curate
bench-curate: all ## near-duplicates of 100,000 vectors beside FAISS's exact search
	@bench/curate.sh $(BUILD)

.PHONY: bench-map
bench-map: all ## maps of embeddings beside umap-learn: time, trustworthiness, alignment
	@bench/map.sh $(BUILD)

.PHONY: bench-filter
bench-filter: all ## filters on payloads by index, beside item by item and Qdrant's client
	@bench/filter.sh $(BUILD)

bench-tracking: all ## MLflow's tracking interface beside `mlflow server` (DB=postgres)
	@DB="$(DB)" bench/tracking.sh $(BUILD)

.PHONY: mlflow-tests
mlflow-tests: all ## MLflow's own tests, and its server beside Croft (MLFLOW_SOURCE=checkout)
	@tests/mlflow/own_tests.sh $(BUILD) && CROFT_BUILD="$(CURDIR)/$(BUILD)" $(BUILD)/mlflow-own/bin/python tests/mlflow/differential.py

bench-otlp: all ## 20,000 OpenTelemetry spans a second for a minute: latency, memory, bytes
	@bench/otlp.sh $(BUILD)

.PHONY: bench-artifact
bench-artifact: build ## hash and store a folder (SIZE=2G) beside sha256sum, b3sum and cp
	@SIZE=$(SIZE) python3 bench/artifact.py $(BUILD)

oracle: all models ## record reference outputs (llama.cpp, sentence-transformers, ...) as golden data
	@tools/oracle/run.sh $(BUILD)

fault: setup-test all models ## kill -9 at 200 random points, servers and PostgreSQL killed, bad disks
	@CROFT_TEST_KILLS=$(or $(KILLS),200) tools/test.sh $(BUILD) e2e/kill_writes
	@CROFT_TEST_KILLS=$(or $(KILLS),40) tools/test.sh $(BUILD) e2e/servers
	@CROFT_TEST_KILLS=$(or $(KILLS),70) tools/test.sh $(BUILD) e2e/artifact_kill
	@tools/test.sh $(BUILD) 'e2e/faults\|e2e/kill_ingest\|e2e/s3\|test_store_crash'

fuzz: setup-develop ## every fuzz target for SECONDS (60) each
	@tools/fuzz.sh "$(FILTER)" $(or $(SECONDS),60)

lint: setup-develop ## formatting, include directions
	@tools/lint.sh

format: setup-develop
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: build ## into PREFIX (meson's default: /usr/local)
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-*

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 26

.PHONY: setup-test setup-develop
setup-test:
	@tools/setup.sh run test
setup-develop:
	@tools/setup.sh run test develop
