#!/usr/bin/env bash
# Installs the programs that the tests drive, where they are missing (Debian, Ubuntu).
#
# usage: setup-host.sh [--list]
#
# Instant when all are there. Installs as root or with a password-less sudo;
# otherwise says in one sentence what to run.
set -euo pipefail

# One line each: a command that succeeds when it is there | the Debian package.
needs=(
    'command -v ip               | iproute2'
    'command -v node             | nodejs'
    'command -v chromium         | chromium'
    'command -v firefox-esr      | firefox-esr'
    'command -v npm              | npm'
    'command -v nft              | nftables'
    'command -v nginx            | nginx'
    'command -v nsenter          | util-linux'
    'command -v systemd-analyze  | systemd'
    'command -v turnserver       | coturn'
    'python3 -c "import ensurepip, venv" | python3-venv'
)

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${needs[@]}"
    exit 0
fi

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps `ip`, outside a plain user's path
packages=()
for need in "${needs[@]}"; do
    if ! eval "${need%|*}" >/dev/null 2>&1; then
        packages+=("${need##*| }")
    fi
done
if [ ${#packages[@]} -eq 0 ]; then
    exit 0
fi

install="apt-get install --yes --no-install-recommends ${packages[*]}"
if ! command -v apt-get >/dev/null; then
    echo "The tests need these programs, here under their Debian names: ${packages[*]}; please install them, then run this again." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    echo "The tests need ${packages[*]}: please run 'sudo $install', then this again." >&2
    exit 1
fi
echo "Installing ${packages[*]} ..." >&2
"${as_root[@]}" apt-get update --quiet=2
# $install is split into words on purpose: it holds package names only.
# shellcheck disable=SC2086
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive $install --quiet=2 >&2
for service in coturn nginx; do
    if [[ " ${packages[*]} " == *" $service "* ]]; then
        # Debian starts what it installs; the tests start their own where they need one.
        "${as_root[@]}" systemctl disable --quiet --now "$service" 2>/dev/null ||
            "${as_root[@]}" service "$service" stop >/dev/null 2>&1 || true
    fi
done
