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
signed_by=$("$bin" --json bundle verify "$out" --public-key "$out.pub" | sed -n 's/.*"signed_by":"\([^"]*\)".*/\1/p')
name=$(basename "$out")
cat <<END

Carry this one file to the other machine ($(du -h "$out" | cut -f 1)):

    $out

and take the fingerprint of its key there another way than the file (on paper, by telephone):

    $signed_by

There, in the folder with the file:

    tar xf $name install
    sh ./install $name /opt/cloister $signed_by

Keep $key secret and safe: the next bundle is to be signed with the same key.
END
