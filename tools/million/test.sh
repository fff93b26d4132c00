#!/usr/bin/env bash
# Tests run.sh: what it takes, and what it would do on which machine. Nothing is built, booted or applied.
set -euo pipefail

run=$(cd "$(dirname "$0")" && pwd)/run.sh
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
# A large machine of root's, unless a test says otherwise.
export MILLION_CPUS=8 MILLION_MEMORY_KIB=33554432 MILLION_IS_ROOT=yes MILLION_DESCRIPTORS=2200000

fail() {
    printf 'run.sh %s\n' "$1" >&2
    exit 1
}

# Arguments, then what it says.
says() {
    local output wanted=$2
    # shellcheck disable=SC2086
    output=$("$run" --plan $1 2>&1) || fail "$1: status $?: $output"
    [[ $output == *"$wanted"* ]] || fail "$1: does not say '$wanted' but: $output"
}

# The same for what is refused.
refuses() {
    local output status=0 wanted=$2
    # shellcheck disable=SC2086
    output=$("$run" --plan $1 2>&1) || status=$?
    [ "$status" = 2 ] || fail "$1: status $status instead of 2: $output"
    [[ $output == *"$wanted"* ]] || fail "$1: does not say '$wanted' but: $output"
}

# Where it runs, and with what.
says '' '1000000 sessions, on this machine, server on processors 0-3, load client on 4-7'
says '--connections 2000 --server-cpus 1 --cpus 2,3' '2000 sessions, on this machine, server on processors 1, load client on 2,3'
MILLION_CPUS=1 says '' 'server on processors 0-0, load client on 0-0'
ln -s "$(command -v true)" "$empty/qemu-system-x86_64"
PATH=$empty:$PATH
says '--vm' '1000000 sessions, in a virtual machine; about'
MILLION_IS_ROOT=no says '' 'in a virtual machine, because only root'
MILLION_DESCRIPTORS=1024 says '' 'in a virtual machine, because a process here may not have 1002000 open files'
MILLION_IS_ROOT=no says '--here' 'on this machine'

# What it does not take, or cannot do.
MILLION_DESCRIPTORS=1024 refuses '--here' 'may not have 1002000 open files'
MILLION_MEMORY_KIB=4194304 refuses '--here' 'it needs about'
MILLION_MEMORY_KIB=4194304 refuses '--vm' 'the virtual machine needs about'
refuses '--connections 9' '10 to 2000000'
refuses '--connections 1e6' '10 to 2000000'
refuses '--connections' 'wants a value'
refuses '--drop 0' '1 to 99 percent'
refuses '--rest x' '0 to 86400 seconds'
refuses '--vm --report x.html' 'only with --here'
refuses '--wrong' '--connections N'
rm "$empty/qemu-system-x86_64"
command -v qemu-system-x86_64 >/dev/null || refuses '--vm' 'qemu-system-x86_64 is missing'
"$run" --help | grep -q -- '--connections N' || fail '--help: says nothing of --connections'
echo 'tools/million/run.sh: ok'
