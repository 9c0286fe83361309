# make help tells what there is. CI runs .ci/run: make test, then the demo.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# staticcheck 2026.2.2; the go command verifies it by the checksum database.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Translation is pure, without a goroutine of its own: the race detector (some five times slower, and a
# second build of google/fhir) is for everything else.
PURE := ./mapping/...
REST := ./gateway/... ./adapters/... ./fixtures/...

.PHONY: help demo test lint bench fuzz redis build

help: ## this text
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the whole system on this machine; ends with Ctrl-C
	go run ./gateway demo

test: redis lint ## everything CI checks: lint, then all tests with a real redis-server
	go test -count=1 $(PURE)
	go test -count=1 -race $(REST)

lint: ## gofmt, go vet, staticcheck, the shipped maps and the example configuration
	@unformatted="$$(gofmt -l gateway mapping adapters fixtures)"; \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go run ./gateway lint -c gateway.example.yaml

bench: ## figures: time and memory of parsing, translating, photos and stores
	go test -run '^$$' -bench . -benchmem ./mapping/... ./adapters/... ./fixtures/...

fuzz: ## every fuzz target for FUZZTIME (30s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
	    echo "$$(dirname "$$file") $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
	  done; \
	done

build: ## bin/gateway, static
	CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags '-s -w' -o bin/gateway ./gateway

redis: # the tests need a real redis-server on the path
	@command -v redis-server >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq redis-server; }
