# What can be done here; `make` alone lists it. Every target that builds first runs tools/setup, which installs what
# this machine lacks and is done at once when it lacks nothing.

# For a shell that was opened before rustup came.
ifeq ($(shell command -v cargo),)
export PATH := $(HOME)/.cargo/bin:$(PATH)
endif
# Binaries lie where the documentation says, whatever the environment has.
export CARGO_TARGET_DIR := $(CURDIR)/target

# Every folder in plugins/ is a plugin; NAME/ is built to NAME.wasm beside it.
plugins := $(patsubst plugins/%/Cargo.toml,plugins/%.wasm,$(wildcard plugins/*/Cargo.toml))
sources = $(shell find $(1) -name '*.rs' -o -name '*.wit' -o -name Cargo.toml)
# What every plugin is made of, besides its own folder.
contract := tools/wasm Cargo.toml $(call sources,wit plugin-sdk/Cargo.toml plugin-sdk/src plugin-sdk/macros)
# The examples are built too, for the tests and the demo.
examples := $(patsubst examples/%/Cargo.toml,.build/demo-plugins/%.wasm,$(wildcard examples/*/Cargo.toml))
# Arguments of `make run` and `make bench`: make run ARGS="--display none"
ARGS :=
# How many of `make crash` and `make crash-kill`: make crash SEEDS=100
SEEDS := 1000
ROUNDS := 200

.DEFAULT_GOAL := help
.PHONY: help demo run test crash crash-kill plugins build lint bench clean setup-build setup-test
.SECONDEXPANSION:
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: build plugins .build/demo-plugins/hello.wasm ## what the device can do, shown on this machine in under a minute
	PYTHONPATH=clients/python python3 demo/demo.py

run: build plugins ## starts the daemon with config.toml; ARGS="..." for its flags
	$(CARGO_TARGET_DIR)/release/pixelboyd $(ARGS)

test: setup-test plugins $(examples) ## every test there is, Rust and Python, and the lints
	tools/test

crash: setup-test plugins ## power cuts under a working daemon; SEEDS=1000
	cargo build -p pixelboyd -p pixelboy-crash
	$(CARGO_TARGET_DIR)/debug/crash --seeds $(SEEDS) $(ARGS)

crash-kill: setup-test plugins ## kill -9 of a working daemon and of clients; ROUNDS=200
	cargo build -p pixelboyd -p pixelboy-cli -p pixelboy-crash
	$(CARGO_TARGET_DIR)/debug/crash --kill --lives 10 --seeds $$((($(ROUNDS) + 9) / 10)) $(ARGS)

build: setup-build ## pixelboyd and pixelboy, in target/release/
	cargo build --release

plugins: $(plugins) ## the plugins, as plugins/*.wasm

lint: setup-build ## formatting and clippy over the whole workspace
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: build plugins .build/bench/echo.wasm ## benchmarks, on a quiet machine
	PIXELBOYD=$(CARGO_TARGET_DIR)/release/pixelboyd cargo run --release -p pixelboy-bench -- $(ARGS)

clean: ## removes all that was built; what a device stored in data/ stays
	cargo clean
	rm -rf .build plugins/*.wasm

setup-build:
	@tools/setup build

setup-test:
	@tools/setup test

# A plugin is built again when its own sources or the contract changed. tools/wasm leaves an unchanged result alone,
# so its time is set here.
plugins/%.wasm: $$(call sources,plugins/$$*) $(contract) | setup-build
	tools/wasm build plugins/$* $@
	@touch $@

.build/bench/echo.wasm: $(call sources,bench/echo-plugin) $(contract) | setup-build
	@mkdir -p $(@D)
	tools/wasm build bench/echo-plugin $@
	@touch $@

# Plugins that no device has yet: the demo drops one in while the daemon runs.
.build/demo-plugins/%.wasm: $$(call sources,examples/$$*) $(contract) | setup-build
	@mkdir -p $(@D)
	tools/wasm build examples/$* $@
	@touch $@
