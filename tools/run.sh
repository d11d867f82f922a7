#!/bin/sh
# Starts the appliance with the sample collection: tools/run.sh BINARY DATA_DIR MODELS_DIR ADDRESS
set -eu
bin=$1 data=$2 models=$3 listen=$4
root=$(cd "$(dirname "$0")/.." && pwd)
# Whether the samples are there. A data directory that is not there yet, or is empty, has none.
has_samples() {
  [ -n "$(ls -A "$data" 2>/dev/null)" ] &&
    "$bin" --data "$data" --models "$models" --json collection list | grep -q '"name":"Samples"'
}
if ! has_samples; then
  "$bin" --data "$data" --models "$models" ingest --collection Samples "$root/samples/documents"
  "$bin" --data "$data" --models "$models" collection examples "$root/samples/questions.json"
fi
exec "$bin" --data "$data" --models "$models" serve --listen "$listen"
