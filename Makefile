# The commands of this house. `make run` and `make test` set up all they need on a fresh Debian or Ubuntu machine.

SHELL := /bin/sh
export PATH := $(CURDIR)/.tools/bin:$(HOME)/.cargo/bin:$(PATH)
MODELS ?= $(CURDIR)/models
DATA ?= $(CURDIR)/data
LISTEN ?= 127.0.0.1:8080
BIN := target/release/cloister
UI_INPUTS := $(shell find web/ui -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/tests/*' 2>/dev/null)

.PHONY: help run build models test check bench bundle fuzz clean rust-tests page-tests whole-way-tests

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: build models ## set up everything and open the appliance on http://127.0.0.1:8080 with a sample collection
	@tools/run.sh "$(BIN)" "$(DATA)" "$(MODELS)" "$(LISTEN)"

build: web/ui/dist/index.html ## release binary at target/release/cloister
	@tools/setup.sh build
	cargo build --release --locked -p cloister-cli

web/ui/node_modules/.installed: web/ui/package-lock.json
	@tools/setup.sh build
	cd web/ui && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

web/ui/dist/index.html: web/ui/node_modules/.installed $(UI_INPUTS)
	cd web/ui && npm run build

models: build ## the default models (1.2 GB, once)
	@tools/setup.sh models
	$(BIN) --models "$(MODELS)" models pull

check: web/ui/dist/index.html ## format, lints, licences and sources of dependencies, types of the page
	@tools/setup.sh check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check bans licenses sources
	cd web/ui && npm run lint && npm run check

test: build ## every test: Rust, the page in a real browser, bundle, end to end with real models
	@tools/setup.sh test
	@tools/setup.sh models
	tools/test.sh "$(BIN)" "$(MODELS)"

bench: build ## speeds of engine, ingest and search on this machine
	tools/bench.sh "$(BIN)" "$(MODELS)"

bundle: build models ## dist/cloister-VERSION.bundle, signed
	tools/bundle.sh "$(BIN)" "$(MODELS)"

fuzz: ## fuzz targets (needs cargo-fuzz and a nightly toolchain)
	tools/fuzz.sh

clean: ## what was built
	cargo clean
	rm -rf web/ui/dist web/ui/node_modules .tools
