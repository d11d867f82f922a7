#!/bin/sh
# Runs every fuzz target for a minute each (FUZZ_SECONDS changes that). Needs a nightly toolchain and cargo-fuzz.
set -eu
command -v cargo-fuzz >/dev/null 2>&1 || { echo "missing: cargo-fuzz (hint: cargo install cargo-fuzz)" >&2; exit 1; }
root=$(cd "$(dirname "$0")/.." && pwd)
for room in "$root"/*/fuzz; do
  for target in $(cd "$room" && cargo +nightly fuzz list); do
    echo "== $(basename "$(dirname "$room")"): $target"
    (cd "$room" && cargo +nightly fuzz run "$target" -- -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=2048)
  done
done
