#!/bin/sh
# Every test: tools/test.sh BINARY MODELS_DIR
# Fetches the two small models when they are not there (180 MB); larger models are used only where they already lie.
set -eu
bin=$1 models=$2
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
section() { printf '\n== %s\n' "$*"; }

section "models for the tests"
for id in smollm2-135m-instruct-q4_1 all-minilm-l6-v2; do
  "$bin" --models "$models" models verify "$id" >/dev/null 2>&1 || "$bin" --models "$models" models pull "$id"
done
export CLOISTER_TEST_MODELS="$models"
export CLOISTER_BIN="$root/$bin"

section "Rust"
cargo test --release --locked --workspace

section "page: units, then every view in a real browser against the page's test server"
(cd web/ui && npm test && npm run test:browser)

section "the whole way in a real browser against the real appliance"
(cd web/ui && npm run test:e2e)

section "bundle: built, refused when changed, installed and used without a network"
python3 tools/bundle_test.py "$root/$bin" "$models"

printf '\nall tests passed\n'
