#!/bin/sh
# Applies the kernel settings of sysctl.d/90-campanile.conf to this machine, and installs them for the next start.
#
#   tuning/apply.sh            shows what would change, and changes nothing
#   tuning/apply.sh --apply    changes it (as root), and keeps the former values
#   tuning/apply.sh --undo     brings the former values back (as root)
#
# Doing it twice is the same as doing it once. A setting that is already better than wanted stays as it is, in the running kernel
# and in the installed file. The three paths can be set in the environment, which is how this script is tested.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
wanted_file=$here/sysctl.d/90-campanile.conf
proc_sys=${CAMPANILE_TUNING_PROC_SYS:-/proc/sys}
installed=${CAMPANILE_TUNING_INSTALLED:-/etc/sysctl.d/90-campanile.conf}
saved=${CAMPANILE_TUNING_SAVED:-/var/lib/campanile/sysctl.before}

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
}

fail() {
    printf 'apply.sh: %s\n' "$1" >&2
    exit 1
}

# Name and wanted value of every setting in the file: "name value" lines, without the - of optional ones.
settings() {
    sed -n 's/^-\{0,1\}\([a-z][a-z0-9_.]*\) *= *\([0-9][0-9]*\) *$/\1 \2/p' "$wanted_file"
}

path_of() {
    printf '%s/%s' "$proc_sys" "$(printf '%s' "$1" | tr . /)"
}

# The value in the running kernel; nothing if the kernel has no such setting.
value_of() {
    path=$(path_of "$1")
    if [ -r "$path" ]; then
        cat "$path"
    fi
}

# What the value should become: 0 means 0, any other number is a least one. $1 before, $2 wanted.
value_after() {
    if [ "$2" -ne 0 ] && [ "$1" -gt "$2" ]; then
        printf '%s' "$1"
    else
        printf '%s' "$2"
    fi
}

show() {
    printf '%-36s %12s %12s\n' setting before after
    settings | while read -r name wanted; do
        before=$(value_of "$name")
        if [ -z "$before" ]; then
            printf '%-36s %12s %12s\n' "$name" 'not there' -
            continue
        fi
        after=$(value_after "$before" "$wanted")
        if [ "$before" = "$after" ]; then
            after='as it is'
        fi
        printf '%-36s %12s %12s\n' "$name" "$before" "$after"
    done
}

# The former value of a setting is kept once, before its first change: a second --apply must not take our own value for the former one.
save() {
    if ! grep -q "^$1 " "$saved" 2>/dev/null; then
        printf '%s %s\n' "$1" "$2" >>"$saved"
    fi
}

write() {
    printf '%s\n' "$2" >"$(path_of "$1")" || fail "$1 cannot be set to $2; run this as root, on the host and not in a container"
}

apply() {
    mkdir -p "$(dirname "$saved")" "$(dirname "$installed")" || fail "run this as root"
    : >"$installed.new" || fail "$installed cannot be written; run this as root"
    printf '# Written by tuning/apply.sh of Campanile; the reasons stand in its sysctl.d/90-campanile.conf.\n' >"$installed.new"
    settings | while read -r name wanted; do
        before=$(value_of "$name")
        if [ -z "$before" ]; then
            continue
        fi
        after=$(value_after "$before" "$wanted")
        if [ "$before" != "$after" ]; then
            save "$name" "$before"
            write "$name" "$after"
        fi
        printf -- '-%s = %s\n' "$name" "$after" >>"$installed.new"
    done
    mv "$installed.new" "$installed"
    printf 'applied; %s keeps it for the next start, tuning/apply.sh --undo takes it back\n' "$installed"
}

undo() {
    if [ -f "$saved" ]; then
        while read -r name before; do
            printf '%-36s %12s -> %s\n' "$name" "$(value_of "$name")" "$before"
            write "$name" "$before"
        done <"$saved"
        rm -f "$saved"
    fi
    rm -f "$installed"
    printf 'undone: former values are back, and nothing is left for the next start\n'
}

case ${1-} in
'')
    show
    printf 'nothing was changed; tuning/apply.sh --apply does it\n'
    ;;
--apply)
    show
    apply
    ;;
--undo) undo ;;
-h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
