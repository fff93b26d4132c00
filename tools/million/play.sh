#!/bin/sh
# The part of run.sh that goes on where the sessions are: on this machine, or in the guest that vm-run boots. Starts a server and the load client with
# the settings that run.sh puts before it, and ends with the load client's status.
set -u

: "${connections:?}" "${programs:?}" "${tuning:?}" "${server_cpus:?}" "${client_cpus:?}" "${drop:?}" "${rest:?}" "${json:?}"
: "${emulated:=}" "${tune:=}" "${report:=}"
log=$(mktemp)

say() { printf '\n== %s\n' "$1"; }

# A table of sockets for each thread, and some files besides. Not of POSIX, but dash and busybox know it.
# shellcheck disable=SC3045
ulimit -n "${descriptors:?}" 2>/dev/null || ulimit -n "$(ulimit -Hn)"

if [ -n "$tune" ]; then
    say 'kernel settings: tuning/apply.sh --apply'
    "$tuning/apply.sh" --apply || exit 2
fi

say 'campanile doctor'
"$programs/campanile" doctor --cpus "$server_cpus" --connections-max $((connections + 1000)) || exit 2

say "a server, and $connections sessions of campanile-load crowd"
if [ -n "$emulated" ]; then
    # Seconds are long there: nobody may be late.
    patience='--heartbeat-ms 7200000 --idle-timeout-ms 28800000 --login-timeout-ms 600000 --frame-timeout-ms 3600000 --send-stall-timeout-ms 3600000'
    client='--untimed --drain 300 --logins 4096'
else
    patience='--login-timeout-ms 60000'
    client='--drain 60'
fi
# Messages stay in memory: this is about sessions. The options are words.
# shellcheck disable=SC2086
"$programs/campanile" serve --tcp 127.0.0.1:0 --ws= --ops 127.0.0.1:0 --cpus "$server_cpus" --connections-max $((connections + 1000)) \
    --direct-durability memory --group-durability memory --topic-durability memory --broadcast-durability memory $patience >"$log" 2>&1 &
server=$!
target=
while [ -z "$target" ]; do
    kill -0 "$server" 2>/dev/null || {
        cat "$log"
        exit 2
    }
    sleep 0.2
    target=$(sed -n 's/^ *clients *\(tcp:[^ ]*\).*/\1/p' "$log")
done
play() {
    # shellcheck disable=SC2086
    "$programs/campanile-load" crowd --target "$target" --server-pid "$server" --server-cpus "$server_cpus" --cpus "$client_cpus" \
        --connections "$connections" --drop "$drop" --rest "$rest" --durability memory --json "$json" ${report:+--report "$report"} $client 2>&1
    echo $? >"$log.status"
}
# Behind a pipe progress is in lines, which a serial console carries.
if [ -n "$emulated" ]; then play | cat; else play; fi
status=$(cat "$log.status")
grep -E ' (WARN|ERROR) ' "$log"
kill "$server" && wait "$server"
rm -f "$log" "$log.status"
exit "$status"
