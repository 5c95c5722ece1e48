# The front of the house: short names for what Meson and the scripts do. Every target installs what it lacks (scripts/setup).
#
#   make           build into build/
#   make run       build, start, store a real file, show its result, go on serving; LISTEN=ADDR:PORT and DATA=DIR choose others
#   make check     every test and check; STEPS="unit blackbox" for some of them (scripts/check --list)
#   make bench     the measurements of bench/
#   make format    put all C code into the house's format
#   make asan      build into build-asan/ with the address and undefined-behaviour sanitizers, and run the unit tests
#   make fuzz      every fuzz target for a minute each; FUZZ_SECONDS=N for longer
#   make docs      write the reference pages of docs/ anew from the program
#   make clean     remove what was built
#
# Nothing here runs in parallel: Ninja does that below.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
LISTEN ?= 127.0.0.1:8080
DATA ?= filemill-data
STEPS ?=

FUZZ_SECONDS ?= 60

.PHONY: all build run check bench format asan fuzz docs clean help setup-run setup-check

all: build

build: setup-run
	@scripts/build build

run: build
	@scripts/run-demo --listen '$(LISTEN)' --data '$(DATA)'

check: setup-check
	@scripts/check $(STEPS)

bench: setup-check
	@scripts/build build
	@bench/run

format: setup-check
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' | xargs -r clang-format -i
	@echo "format: done"

asan: setup-check
	@scripts/check build-asan unit-asan

fuzz: setup-check
	@scripts/fuzz $(FUZZ_SECONDS)

docs: build
	@scripts/check-docs --write

clean:
	rm -rf build build-asan build-tsan build-fuzz

help:
	@sed -n '1,/^#$$/d;/^#$$/q;s/^# \{0,2\}//p' Makefile

setup-run:
	@scripts/setup --run

setup-check:
	@scripts/setup --check
