#!/bin/sh
# Tests apply.sh on a copy of a few kernel settings, without touching the machine.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export CAMPANILE_TUNING_PROC_SYS="$dir/sys" CAMPANILE_TUNING_INSTALLED="$dir/etc/90-campanile.conf" CAMPANILE_TUNING_SAVED="$dir/lib/before"

mkdir -p "$dir/sys/net/core" "$dir/sys/net/ipv4" "$dir/sys/fs"
somaxconn=$dir/sys/net/core/somaxconn
slow_start=$dir/sys/net/ipv4/tcp_slow_start_after_idle
nr_open=$dir/sys/fs/nr_open

reset() {
    echo 4096 >"$somaxconn"
    echo 1 >"$slow_start"
    # Better than wanted: must stay.
    echo 1000000000 >"$nr_open"
}

expect() {
    if [ "$(cat "$1")" != "$2" ]; then
        echo "apply.sh, $3: ${1#"$dir"/sys/} is $(cat "$1"), expected $2" >&2
        exit 1
    fi
}

reset
"$here/apply.sh" | grep -q 'net.core.somaxconn  *4096  *65535'
expect "$somaxconn" 4096 'dry run'
[ ! -e "$CAMPANILE_TUNING_INSTALLED" ]

for time in first second; do
    "$here/apply.sh" --apply >/dev/null
    expect "$somaxconn" 65535 "$time --apply"
    expect "$slow_start" 0 "$time --apply"
    expect "$nr_open" 1000000000 "$time --apply"
    grep -q '^-net.core.somaxconn = 65535$' "$CAMPANILE_TUNING_INSTALLED"
done

for time in first second; do
    "$here/apply.sh" --undo >/dev/null
    expect "$somaxconn" 4096 "$time --undo"
    expect "$slow_start" 1 "$time --undo"
    [ ! -e "$CAMPANILE_TUNING_INSTALLED" ] && [ ! -e "$CAMPANILE_TUNING_SAVED" ]
done

if "$here/apply.sh" --wrong >/dev/null 2>&1; then
    echo 'apply.sh takes an unknown option' >&2
    exit 1
fi
echo 'tuning/apply.sh: ok'
