# `make` lists what there is to do.

PORT ?= 5000
DATA ?= data
PREFIX ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

export CGO_ENABLED ?= 0

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## Tidewaiter and a registry at localhost:5000 (PORT=, DATA=), until Ctrl-C
	@case '$(PORT)' in ''|*[!0-9]*) echo "PORT=$(PORT) is no number" >&2; exit 2;; esac
	@LDFLAGS='$(LDFLAGS)' ./scripts/build-with-progress
	@./bin/standalone -port '$(PORT)' -data '$(DATA)'

.PHONY: collect
collect: ## free the disk of deleted images in DATA=, after make up was stopped
	@LDFLAGS='$(LDFLAGS)' ./scripts/build-with-progress
	@./bin/standalone -data '$(DATA)' -collect

.PHONY: build
build: ## bin/tidewaiter, static
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/tidewaiter ./cmd/tidewaiter

.PHONY: install
install: ## after build: program, manual pages and completions, below /usr/local (PREFIX=, DESTDIR=)
	@./scripts/install bin/tidewaiter '$(DESTDIR)$(PREFIX)'

.PHONY: test
test: ## all tests: of the house, of standalone, and against real registries and clients
	@./scripts/test

.PHONY: test-clock
test-clock: ## tests on other days: the wall clock moved to weekends, year ends, leap days, clock changes
	@./scripts/test-clock

.PHONY: test-busy
test-busy: ## all tests three times beside four busy loops (TIMES=, LOOPS=, PACKAGES=)
	@./scripts/test-busy

.PHONY: lint
lint: ## go vet, golangci-lint, and plain-words on what the branch adds to main (BASE=)
	./scripts/lint

.PHONY: bench
bench: build ## measure against the limit beside it; writes bench/RESULTS.md
	go run ./bench/compare --tidewaiter bin/tidewaiter

.PHONY: fuzz
fuzz: ## every fuzz target and property for FUZZTIME (default 30s)
	@./scripts/fuzz

.PHONY: generate
generate: ## write what is generated anew: golden files and docs; no difference may remain
	go generate ./...
	go test ./cmd/tidewaiter -run Scripts -update

.PHONY: image
image: build ## the container image tidewaiter (needs a Docker Engine)
	docker build -t tidewaiter .
