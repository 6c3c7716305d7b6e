#!/usr/bin/env bash
# Makes the virtual environment the Makefile works in, from the locked requirements.
#
# usage: setup-venv.sh VENV PYTHON LOCK... [-- EDITABLE]
#
# Does nothing when the environment already holds exactly these locks. Two runs
# at once in the same checkout wait for each other.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 python=$2
shift 2

say() { printf '%s\n' "$*" >&2; }

if ! command -v "$python" >/dev/null; then
    say "THKMesh needs Python 3.11 or newer, and there is no '$python' here: install it, or name another with 'make PYTHON=...'."
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "THKMesh needs Python 3.11 or newer, and '$python' is $("$python" -V 2>&1): name another with 'make PYTHON=...'."
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    say "'$python' comes without venv and ensurepip: run 'make setup-host' (on Debian: apt-get install python3-venv), then this again."
    exit 1
fi

if command -v flock >/dev/null; then
    mkdir -p "$venv"
    exec 9>"$venv/.lock"
    flock 9
fi

# What the environment should hold, in one word: this script and its inputs.
wanted=$(cat "$0" "$@" pyproject.toml | "$python" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
stamp="$venv/.stamp-$(basename "${!#}" .txt)"
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    touch "$stamp"
    exit 0
fi

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    say "Making $venv with $("$python" -V 2>&1) ..."
    "$python" -m venv "$venv"
fi
pip=("$venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check)
for lock in "$@"; do
    say "Installing $lock into $venv ..."
    "${pip[@]}" install --require-hashes --requirement "$lock"
done
"${pip[@]}" install --no-deps --no-build-isolation --editable .
printf '%s\n' "$wanted" >"$stamp"
