#!/bin/sh
# Installs a Cloister bundle with the bundle's own program; nothing is fetched from anywhere.
#
#   tar xf BUNDLE install && sh ./install BUNDLE DIR FINGERPRINT
#   tar xf BUNDLE install && sh ./install BUNDLE DIR PUBLIC_KEY_FILE
#
# FINGERPRINT is that of the key which signed the bundle: 40 hexadecimal digits, in groups or not. It, or the key file, has to come
# to you another way than the bundle: whoever could change the bundle could change a key beside it. With neither, the key in
# BUNDLE.pub is taken, where there is one, and its fingerprint shown to be compared. Everything is written below DIR.
#
# The check is made by the program in the bundle itself: it finds every accident on the way. Against somebody who
# could replace the whole bundle, check it first with a Cloister that you trust already: cloister bundle verify.
set -eu
if [ $# -lt 2 ]; then
  echo "usage: sh ./install BUNDLE DIR [FINGERPRINT | PUBLIC_KEY_FILE]" >&2
  exit 2
fi
bundle=$1 prefix=$2
shift 2
[ -r "$bundle" ] || { echo "error: cannot read $bundle" >&2; exit 1; }
if [ $# -gt 0 ]; then
  if [ $# -eq 1 ] && [ -e "$1" ]; then
    set -- --public-key "$1"
  elif [ -z "$(printf %s "$*" | tr -d '0-9A-Fa-f: ')" ]; then
    set -- --fingerprint "$*"
  else
    echo "error: $*: neither a key file that is there nor a fingerprint (40 hexadecimal digits)" >&2
    exit 2
  fi
fi
made=
[ -d "$prefix" ] || made=$prefix
mkdir -p "$prefix"
work=$(mktemp -d "$prefix/.install-XXXXXX")
leave() {
  rm -rf "$work"
  [ -z "$made" ] || rmdir "$made" 2>/dev/null || :
}
trap leave EXIT
trap 'exit 1' INT TERM
tar xf "$bundle" -C "$work" bin/cloister || { echo "error: $bundle holds no program; was it copied whole?" >&2; exit 1; }
"$work/bin/cloister" bundle install "$bundle" --prefix "$prefix" "$@"
