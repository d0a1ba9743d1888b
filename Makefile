# Quiver's tasks. Bare `make` lists them. Everything they need is installed below this folder
# (.venv, .tools, Go's own caches); Go 1.26, Python 3 and the package registries are all that must be there.

GO        ?= go
PYTHON    ?= python3
VENV      := .venv
PY        := $(VENV)/bin/python
LINT      := .tools/golangci-lint
LINT_VER  := v2.15.0
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT    := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION) -X main.revision=$(COMMIT)
PKGS      := ./...
# The race detector runs where goroutines meet.
RACE_PKGS := ./internal/... ./arrowlog/... ./kv/... ./tablet/... ./coordinator/... ./flight/... ./node/...

export CGO_ENABLED ?= 0

.PHONY: help build build-fault demo test vet lint unit race fuzz-corpus conformance crash docs \
        fuzz-long hostile torture torture-clients planted bench bench-peers bench-smoke golden fmt clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary bin/quiver
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/quiver ./cmd/quiver

build-fault: ## the same with fault points that tests can arm: bin/quiver-fault
	@mkdir -p bin
	$(GO) build -trimpath -tags fault -ldflags '$(LDFLAGS)' -o bin/quiver-fault ./cmd/quiver

demo: build $(VENV)/ready ## load 336,776 real flights, read, project and tail them through plain pyarrow; ends by itself
	@$(PY) conformance/demo.py

test: vet lint unit race conformance ## everything that CI runs

vet: ## go vet, with and without the fault points and the planted bugs
	$(GO) vet $(PKGS)
	$(GO) vet -tags fault $(PKGS)
	$(GO) vet -tags fault,planted $(PKGS)

lint: $(LINT) ## golangci-lint, pinned
	$(LINT) run --timeout 15m --allow-parallel-runners

unit: build $(VENV)/ready ## unit, property, script, crash and fuzz-corpus tests
	QUIVER_PYTHON=$(abspath $(PY)) $(GO) test -tags fault $(PKGS)

race: ## the packages with goroutines under the race detector
	CGO_ENABLED=1 $(GO) test -race -short -tags fault $(RACE_PKGS)

conformance: build build-fault $(VENV)/ready ## real clients against the real binary: pyarrow, pandas, polars, DuckDB; kill -9; snippets of README and docs
	$(PY) -m pytest -q conformance

bench: build $(VENV)/ready ## all figures of docs/benchmarks.md with their floors in the same run, in half an hour; needs a quiet machine; ARGS
	QUIVER_PYTHON=$${QUIVER_PYTHON:-$(abspath $(PY))} $(GO) run ./bench $(ARGS)

bench-peers: build ## beside Apache Fluss and Apache Kafka, from packages (JDK 17, Maven): docs/peers.md, about 20 minutes; ARGS=-quick smokes it
	$(GO) run ./bench/peers $(ARGS)

bench-smoke: ## every benchmark once, to see that it runs
	$(GO) test -run '^$$' -bench . -benchtime 1x $(PKGS)

# Inputs that reach new code are hardly made smaller: by default Go takes up to a minute for each, in which nothing else is
# tried, and as coverage is not the same twice it seldom comes to anything.
fuzz-long: ## every fuzz target for FUZZTIME (default 10m) each
	@FUZZTIME=$${FUZZTIME:-10m}; for pkg in $$($(GO) list $(PKGS)); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $$FUZZTIME -fuzzminimizetime 50x $$pkg || exit 1; done; done

torture: build build-fault $(VENV)/ready ## the server under real clients, killed and broken for DURATION (default 10m); KILLS, SEED, ARGS
	$(GO) run ./torture -duration $${DURATION:-10m} -kills $${KILLS:-0} -seed $${SEED:-0} -python $(abspath $(PY)) $(ARGS)

torture-clients: build build-fault $(VENV)/ready ## the kill loop of conformance, the streaming job and the Go client over cut connections, for DURATION seconds each (default 600)
	QUIVER_TORTURE_SECONDS=$${DURATION:-600} $(PY) -m pytest -q -s conformance/test_kill.py
	QUIVER_TORTURE_SECONDS=$${DURATION:-600} $(PY) -m pytest -q -s conformance/test_streaming_job.py
	QUIVER_TORTURE_SECONDS=$${DURATION:-600} $(GO) test -count 1 -timeout 0 -tags fault -run Client ./node

planted: ## the server with one bug after the other, planted on purpose: each is found by torture or by a test
	$(GO) test -tags fault,planted -count 1 -v -timeout 3h -run TestPlanted ./torture

hostile: build ## the server in 256 MB under every attack at once, beside an honest tenant: memory, survival, latencies; ROUNDS (default 5)
	@mkdir -p .build
	$(GO) build -o .build/hostile ./hostile
	.build/hostile -rounds $${ROUNDS:-5} -seed $${SEED:-0} -out .build/hostile.json -docs docs/hostile.md

golden: ## rewrite recorded answers; read the diff before you commit it
	$(GO) test -tags fault . ./coordinator ./tablet/replica ./arrowlog/record -update
	$(GO) test ./bench -run Plots -update
	QUIVER_REWRITE=1 $(GO) test -tags fault ./arrowlog -run Script

docs: ## write the generated parts of docs anew: metrics, log lines, errors, actions
	$(GO) test ./node -run 'TestPage' -update

fmt: ## gofmt
	gofmt -w $$(git ls-files '*.go')

clean: ## remove what the targets made, but for the downloads (.venv, .tools, the peers' packages in .build/peers)
	rm -rf bin bench/out $(filter-out .build/peers,$(wildcard .build/*)) $(filter-out $(addprefix .build/peers/,jars venv),$(wildcard .build/peers/*))

$(VENV)/ready: conformance/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r conformance/requirements.txt
	@touch $@

$(LINT):
	@mkdir -p .tools
	GOBIN=$(abspath .tools) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)
