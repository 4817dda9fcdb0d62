# strataos: make help lists the targets.

GO      ?= go
export CGO_ENABLED ?= 0
BIN     := bin/strata

.PHONY: help build run test race sim mutants lint fuzz bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build bin/strata
	$(GO) build -trimpath -o $(BIN) ./cmd/strata

run: build ## run a local network of four nodes
	./$(BIN) dev

test: ## run the tests
	$(GO) test ./...

# Nothing in protocol may start a goroutine, which a test holds it to, and a
# simulation is one; only sweeps run several at once.
race: ## run the tests of what is concurrent with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $$($(GO) list ./... | grep -v -e /protocol -e /simulation)
	CGO_ENABLED=1 $(GO) test -race -short -run 'TestSweep' ./simulation

SEEDS ?= 150
FIRST ?= 0
sim: build ## run SEEDS seeds over all scenarios, with 4 and with 7 nodes
	./$(BIN) sim sweep --nodes 4 --seeds $(SEEDS) --first-seed $(FIRST)
	./$(BIN) sim sweep --nodes 7 --seeds $(SEEDS) --first-seed $(FIRST)

mutants: ## show that simulation catches deliberate bugs
	$(GO) run ./simulation/mutants

lint: ## check format and common mistakes
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "gofmt wants to change these"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

FUZZTIME ?= 10s
fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## remove what was built, not data
	rm -rf bin
