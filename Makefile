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

.PHONY: help demo test lint bench photos bench-photos bench-flow bench-replicas bench-backlog bench-peers crash ordeal fuzz interop contract java redis node haproxy promtool judges curl build

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the whole system on this machine; ends with Ctrl-C
	go run ./gateway demo

test: redis node haproxy promtool judges curl lint ## everything CI checks: lint, then all tests with a real redis-server, HAProxy, npm peers, exiftool, djpeg, pdftotext and curl
	go test -count=1 $(PURE)
	go test -count=1 -run RandomTraces ./gateway/flow
	go test -count=1 -race -timeout 30m $(REST)

lint: ## gofmt, go vet, staticcheck, the shipped maps and the example configuration
	@unformatted="$$(gofmt -l gateway mapping adapters fixtures)"; \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go run ./gateway lint -c gateway.example.yaml

bench: ## figures: time and memory of parsing, translating, photos, stores and 64 large messages at once
	go test -run '^$$' -bench . -benchmem ./mapping/... ./adapters/... ./fixtures/... ./gateway

photos: judges ## some 140 photos through gateway photo: what became of each, with exiftool and djpeg as judges; fails when one is not as it must be
	@go test -count=1 -v -timeout 30m -run '^TestPhotoSet$$' ./gateway | sed '/^=== /d; s/^ *photojudges_test.go:[0-9]*: //'

bench-photos: judges ## the goals of photos: speed beside image/jpeg and the naive search, PSNR, memory by 48 MP and by 32 photos at once; fails when one is missed
	@set -o pipefail; { go test -run '^$$' -bench 'BenchmarkStrip$$/strip|BenchmarkFit$$' -benchmem -benchtime 5x ./mapping/image && \
	  go test -run '^$$' -bench '^(BenchmarkPhotoMemory|BenchmarkFitting)$$' -benchtime 1x -timeout 30m ./gateway; } | awk -f fixtures/photo-goals.awk

bench-flow: redis ## through a whole gateway: messages acknowledged and delivered a second, small and with a photo of 1 MB, what each costs, beside redis-benchmark
	go test -run '^$$' -bench '^BenchmarkFlow$$' -benchtime 5000x ./gateway
	go test -run '^$$' -bench '^BenchmarkFlowPhoto$$' -benchtime 500x ./gateway

bench-replicas: redis ## one, two and three gateways on one Redis before a receiver that takes 50 ms over one connection each: deliveries a second
	go test -run '^$$' -bench '^BenchmarkReplicas$$' -benchtime 100x ./gateway

BACKLOG ?= 5000
bench-backlog: redis ## BACKLOG (5000) messages wait in each store: bytes for each, claims beside an empty store, starts
	BACKLOG=$(BACKLOG) go test -run '^$$' -bench '^BenchmarkBacklog$$' -benchtime 1x -timeout 2h ./adapters/redis ./adapters/bolt

bench-peers: node ## parsing beside simple-hl7 and @medplum/core of npm, the best of twenty each: 20 times faster, else it fails
	cd fixtures/peers && npm ci
	@{ go test -run '^$$' -bench '^BenchmarkSmallADT$$/^dermgate$$' -benchtime 100ms -count 20 ./mapping/hl7 && node fixtures/peers/bench.js; } | awk '{ print } \
	  sub(/^BenchmarkSmallADT\//, "", $$1) { if ($$1 !~ /^dermgate/) peer[$$1] = $$3; else if (!ours || $$3 < ours) ours = $$3 } \
	  END { for (p in peer) { n++; ratio = ours ? peer[p] / ours : 0; slow = slow || ratio < 20; printf "%s: %.1f times as long\n", p, ratio } exit slow || n < 2 }'

KILLS ?= 200
crash: redis ## the ordeal at length: KILLS (200) of gateway, Redis and masters under load, pauses, cuts, full disks; its table
	ORDEAL=$(KILLS) go test -count=1 -v -timeout 3h -run '^TestOrdeal$$' ./gateway | grep -v '^time=\|connection closed'

ordeal: ## every channel of the NHS with every trouble at every call and kills between, CHANNELS rounds (10); its table
	CHANNELS=$(or $(CHANNELS),10) go test -count=1 -v -timeout 3h -run '^TestChannelsOrdeal$$' ./gateway | grep -v '^time='

fuzz: ## every fuzz target for FUZZTIME (30s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
	    echo "$$(dirname "$$file") $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
	  done; \
	done

INTEROP := fixtures/interop
interop: java ## HL7's own validator (Java, by Maven) over every Bundle of the fixtures: an error or an unexplained warning fails
	@rm -rf $(INTEROP)/target/bundles
	go run ./$(INTEROP)/bundles $(INTEROP)/target/bundles
	mvn -q -B -f $(INTEROP) compile exec:java -Dexec.args="$(INTEROP)/target/bundles $(INTEROP)/ukcore.zip $(INTEROP)/warnings.tsv"

CONTRACT := fixtures/contract
contract: node ## every call of NHS services against NHS England's own OpenAPI documents, served by Prism: valid, equal to their examples, each documented failure handled; its table
	cd $(CONTRACT) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@go run ./$(CONTRACT)

java: # nothing is installed for it: make test does without
	@for tool in javac mvn; do command -v $$tool >/dev/null || { echo "make interop needs $$tool: a JDK of 17 or later and Maven (Debian: default-jdk-headless maven)" >&2; exit 1; }; done

build: ## bin/gateway, static
	CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags '-s -w' -o bin/gateway ./gateway

redis: # the tests need a real redis-server on the path
	@command -v redis-server >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq redis-server; }

haproxy: # the tests put it before three replicas
	@command -v haproxy >/dev/null || test -x /usr/sbin/haproxy || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends haproxy; }

promtool: # the tests try the alert rules; Debian has it in the package of the server
	@command -v promtool >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends prometheus; }

judges: # the tests ask exiftool what is left in a photo, djpeg what it looks like, and pdftotext what a letter says
	@for tool in exiftool:libimage-exiftool-perl djpeg:libjpeg-turbo-progs pdftotext:poppler-utils; do \
	  command -v $${tool%%:*} >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends $${tool##*:}; }; done

curl: # the tests type the sessions of docs/simulators.md
	@for tool in curl openssl; do command -v $$tool >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends $$tool; }; done

node: # the tests talk to HL7 libraries of npm
	@command -v npm >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends nodejs npm; }
