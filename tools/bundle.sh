#!/bin/sh
# Makes dist/cloister-VERSION.bundle: tools/bundle.sh BINARY MODELS_DIR
# The signing key is dist/signing.key, or the file named by CLOISTER_SIGNING_KEY; it is made when it is not there.
set -eu
bin=$1 models=$2
root=$(cd "$(dirname "$0")/.." && pwd)
version=$("$bin" --version | awk '{print $2}')
mkdir -p "$root/dist"
key=${CLOISTER_SIGNING_KEY:-$root/dist/signing.key}
out="$root/dist/cloister-$version.bundle"
if [ ! -e "$key" ]; then
  "$bin" bundle key "$key"
fi
"$bin" --models "$models" bundle build --out "$out" --key "$key"
"$bin" bundle verify "$out"
