#!/bin/sh
# Installs a Cloister bundle with the bundle's own program; nothing is fetched from anywhere.
#
#   tar xf BUNDLE install && sh ./install BUNDLE DIR [PUBLIC_KEY_FILE]
#
# Without PUBLIC_KEY_FILE the key in BUNDLE.pub is taken and its fingerprint shown: compare it with the one
# that you were given by another way. Everything is written below DIR.
#
# The check is made by the program in the bundle itself: it finds every accident on the way. Against somebody who
# could replace the whole bundle, check it first with a Cloister that you trust already: cloister bundle verify.
set -eu
if [ $# -lt 2 ]; then
  echo "usage: sh ./install BUNDLE DIR [PUBLIC_KEY_FILE]" >&2
  exit 2
fi
bundle=$1 prefix=$2
[ -r "$bundle" ] || { echo "error: cannot read $bundle" >&2; exit 1; }
mkdir -p "$prefix"
work=$(mktemp -d "$prefix/.install-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
tar xf "$bundle" -C "$work" bin/cloister || { echo "error: $bundle holds no program; was it copied whole?" >&2; exit 1; }
if [ $# -ge 3 ]; then
  "$work/bin/cloister" bundle install "$bundle" --prefix "$prefix" --public-key "$3"
else
  "$work/bin/cloister" bundle install "$bundle" --prefix "$prefix"
fi
