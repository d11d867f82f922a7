#!/bin/sh
# Speeds on this machine: tools/bench.sh BINARY MODELS_DIR
set -eu
bin=$1 models=$2
for id in smollm2-135m-instruct-q4_1 qwen2.5-coder-0.5b-instruct-q4_k_m qwen2.5-coder-1.5b-instruct-q4_k_m; do
  [ -d "$models/$id" ] || { echo "passed over: $id (not in $models)" >&2; continue; }
  "$bin" --json --models "$models" bench prefill --model "$id" --size 512
  "$bin" --json --models "$models" bench decode --model "$id" --size 64
done
"$bin" --json --models "$models" bench embed --model all-minilm-l6-v2
