#!/bin/sh
# Runs the engine's small tests under Miri, which watches every access to memory: the pool and the slices that its threads
# share, packing, the portable kernels, pages of keys and values, attention. Needs a nightly toolchain with Miri
# (rustup +nightly component add miri rust-src). MIRI_TESTS names other tests.
set -eu
cargo +nightly miri --version >/dev/null 2>&1 || { echo "missing: miri (hint: rustup +nightly component add miri rust-src)" >&2; exit 1; }
cd "$(dirname "$0")/.."
# Files of the tests' own lie in the temporary folder, and the clock is the machine's.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
for tests in ${MIRI_TESTS:-pool:: small_passes::}; do
  cargo +nightly miri test -p cloister-engine --locked --test it -- "$tests"
done
for tests in ${MIRI_UNIT_TESTS:-sample:: stop:: models:: tokenizer::merging tokenizer::spm}; do
  cargo +nightly miri test -p cloister-engine --locked --lib -- "$tests"
done
