# `make` lists the targets.

PORT ?= 5000
DATA ?= data
PREFIX ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

export CGO_ENABLED ?= 0

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## run Tidewaiter and a registry at localhost:5000 (PORT=, DATA=), until Ctrl-C
	@case '$(PORT)' in ''|*[!0-9]*) echo "PORT=$(PORT) is not a number" >&2; exit 2;; esac
	@LDFLAGS='$(LDFLAGS)' ./scripts/build-with-progress
	@./bin/standalone -port '$(PORT)' -data '$(DATA)'

.PHONY: collect
collect: ## free the disk space of deleted images in DATA=, while make up is stopped
	@LDFLAGS='$(LDFLAGS)' ./scripts/build-with-progress
	@./bin/standalone -data '$(DATA)' -collect

.PHONY: build
build: ## build bin/tidewaiter, static
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/tidewaiter ./cmd/tidewaiter

.PHONY: install
install: ## install program, manual pages and completions below /usr/local (PREFIX=, DESTDIR=)
	@./scripts/install bin/tidewaiter '$(DESTDIR)$(PREFIX)'

.PHONY: test
test: ## all tests: of all modules, with real registries and clients
	@./scripts/test

.PHONY: test-fast
test-fast: ## the tests of this module that take a minute together, while you write code
	@./scripts/test fast

.PHONY: test-clock
test-clock: ## tests with the clock set to weekends, year ends, leap days, clock changes
	@./scripts/test-clock

.PHONY: test-busy
test-busy: ## all tests three times, while four busy loops run (TIMES=, LOOPS=, PACKAGES=)
	@./scripts/test-busy

.PHONY: lint
lint: ## go vet, golangci-lint, and plain-words on the changes since main (BASE=)
	./scripts/lint

.PHONY: bench
bench: build ## measure the performance, compared with a bare handler
	cd bench && go run ./compare --tidewaiter ../bin/tidewaiter

.PHONY: fuzz
fuzz: ## run each fuzz target and property for FUZZTIME (default 30s)
	@./scripts/fuzz

.PHONY: generate
generate: ## regenerate golden files and docs; git must show no difference after that
	go generate ./...
	go test ./cmd/tidewaiter -run Scripts -update

.PHONY: image
image: build ## build the container image tidewaiter (needs a Docker Engine)
	docker build -t tidewaiter .
