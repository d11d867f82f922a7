#!/bin/sh
# Runs every fuzz target for a minute each (FUZZ_SECONDS changes that, FUZZ_TARGETS names some). Needs a nightly toolchain and
# cargo-fuzz. What is found to be new goes to the folder `corpus` beside the targets, which is not kept; `seeds` is. After
# longer runs, put the smallest set of inputs that reaches the same code into it:
#   cd engine/fuzz && cargo +nightly fuzz run TARGET seeds/TARGET corpus/TARGET -- -merge=1
set -eu
command -v cargo-fuzz >/dev/null 2>&1 || { echo "missing: cargo-fuzz (hint: cargo install cargo-fuzz)" >&2; exit 1; }
root=$(cd "$(dirname "$0")/.." && pwd)
# Targets that load files write them first; they do so in memory where there is such a folder.
if [ -z "${TMPDIR:-}" ] && [ -d /dev/shm ]; then
  export TMPDIR=/dev/shm
fi
for room in "$root"/*/fuzz; do
  for target in ${FUZZ_TARGETS:-$(cd "$room" && cargo +nightly fuzz list)}; do
    echo "== $(basename "$(dirname "$room")"): $target"
    case $target in
      # Their inputs are recipes, which are short, and single allocations stay far below this where files are that small.
      adapter | encoder | model) limits="-max_len=256 -len_control=0 -malloc_limit_mb=256" ;;
      # Long enough for a whole file of packed weights, and for the settings and tensors of a small model.
      gguf | packed) limits="-max_len=6000" ;;
      *) limits="" ;;
    esac
    if [ -f "$room/dictionaries/$target.dict" ]; then
      limits="$limits -dict=dictionaries/$target.dict"
    fi
    (
      cd "$room"
      mkdir -p "corpus/$target" "seeds/$target"
      # shellcheck disable=SC2086
      cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=2048 $limits
    )
  done
done
