#!/usr/bin/env bash
# A million logged-in sessions on one server, and what they cost: memory of the server and of the kernel for each; messages among a sample; one to all;
# a fifth drops at once and comes back; and that nothing was lost or came twice. Exit status 1 if something was.
#
#   tools/million/run.sh                         builds, and runs where it can: on this machine as root, else in an emulated one
#   tools/million/run.sh --connections 20000     fewer
#
#   --here               on this machine, for times and idle CPU as well; as root also with the settings of tuning/, taken back afterwards
#   --vm                 in a virtual machine that is emulated in software (qemu; no rights needed): memory and counts are right
#                        there, times mean nothing and are left out
#   --connections N      sessions [default: 1000000]
#   --drop PERCENT       of them at once [default: 20]
#   --rest SECONDS       for which nothing is done, while the server's CPU is measured [default: 30; with --vm 5]
#   --json FILE          all figures
#   --report FILE        a page with charts; only with --here
#   --server-cpus LIST, --cpus LIST   with --here: processors of the server and of the load client [default: half of them each]
#   --programs DIR       uses the programs that lie there, and builds none
#   --plan               only says what it would do
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$tools/../.." && pwd)
# Of both ends of a connection with both programs, in KiB: 11 were measured. And for all else.
each_kib=12
others_kib=$((1536 * 1024))

usage() { sed -n '2,20s/^# \{0,1\}//p' "$0"; }

fail() {
    printf 'run.sh: %s\n' "$1" >&2
    exit 2
}

say() { printf '\n== %s\n' "$1"; }

where='' connections=1000000 drop=20 rest='' json='' report='' server_cpus='' client_cpus='' programs='' plan=''
while [ $# -gt 0 ]; do
    case $1 in
    --here | --vm) where=${1#--} ;;
    --plan) plan=yes ;;
    -h | --help)
        usage
        exit
        ;;
    --connections | --drop | --rest | --json | --report | --server-cpus | --cpus | --programs)
        [ $# -ge 2 ] || fail "$1 wants a value"
        case $1 in
        --connections) connections=$2 ;;
        --drop) drop=$2 ;;
        --rest) rest=$2 ;;
        --json) json=$2 ;;
        --report) report=$2 ;;
        --server-cpus) server_cpus=$2 ;;
        --cpus) client_cpus=$2 ;;
        --programs) programs=$2 ;;
        esac
        shift
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
[[ $connections =~ ^[1-9][0-9]{0,6}$ ]] && [ "$connections" -ge 10 ] && [ "$connections" -le 2000000 ] ||
    fail "--connections $connections: 10 to 2000000"
[[ $drop =~ ^[1-9][0-9]?$ ]] || fail "--drop $drop: 1 to 99 percent"
[[ $rest =~ ^[0-9]{0,5}$ ]] || fail "--rest $rest: 0 to 86400 seconds"

# This machine. The tests say what it is like.
cpus=${MILLION_CPUS:-$(nproc)}
memory_kib=${MILLION_MEMORY_KIB:-$(awk '$1 == "MemAvailable:" {print $2}' /proc/meminfo)}
is_root=${MILLION_IS_ROOT:-$([ "$(id -u)" = 0 ] && echo yes || echo no)}

half=$((cpus / 2))
[ "$half" -ge 1 ] || half=1
server_cpus=${server_cpus:-0-$((half - 1))}
client_cpus=${client_cpus:-$((cpus > 1 ? half : 0))-$((cpus - 1))}
needed_kib=$((connections * each_kib + others_kib))
# Any one thread may get more than its share of the sessions, and the load client's threads have tables of their own.
descriptors=$((connections + 2000))

# Whether a process here may have so many descriptors: it may raise the limit, where somebody lets it.
has_descriptors() {
    if [ -n "${MILLION_DESCRIPTORS:-}" ]; then [ "$MILLION_DESCRIPTORS" -ge "$descriptors" ]; else (ulimit -n "$descriptors") 2>/dev/null; fi
}

# What keeps it from running here; nothing if nothing does.
obstacle() {
    if ! has_descriptors; then
        printf 'a process here may not have %s open files (ulimit -Hn says %s)' "$descriptors" "$(ulimit -Hn)"
    elif [ "$memory_kib" -lt "$needed_kib" ]; then
        printf 'it needs about %s MiB of memory, and %s are available' $((needed_kib / 1024)) $((memory_kib / 1024))
    fi
}

if [ -z "$where" ]; then
    why=$(obstacle)
    [ -n "$why" ] || [ "$is_root" = yes ] || why='only root may apply the settings of tuning/'
    if [ -z "$why" ]; then where=here; else where=vm; fi
    [ "$where" = here ] || printf 'in a virtual machine, because %s\n' "$why"
elif [ "$where" = here ]; then
    why=$(obstacle)
    [ -z "$why" ] || fail "$why; --connections makes it smaller, --vm needs no rights"
fi
if [ "$where" = vm ]; then
    [ -z "$report" ] || fail '--report: only with --here'
    command -v qemu-system-x86_64 >/dev/null ||
        fail 'qemu-system-x86_64 is missing: apt-get install --no-install-recommends qemu-system-x86'
    [ "$memory_kib" -ge "$needed_kib" ] ||
        fail "the virtual machine needs about $((needed_kib / 1024)) MiB, and $((memory_kib / 1024)) are available; --connections makes it smaller"
fi
# The guest's kernel bounds the memory of all sockets by its own size, so it is told of twice what it will use.
guest_mib=$((needed_kib * 2 / 1024))
[ "$guest_mib" -le 18432 ] || guest_mib=$((18432 > needed_kib / 1024 ? 18432 : needed_kib / 1024))
# A guard against hanging, far above what it takes on a busy machine.
limit_s=$((900 + connections / 100))

printf '%s sessions, %s; about %s MiB of memory are needed, %s are available\n' "$connections" \
    "$([ "$where" = vm ] && echo 'in a virtual machine' || echo "on this machine, server on processors $server_cpus, load client on $client_cpus")" \
    $((needed_kib / 1024)) $((memory_kib / 1024))
[ -z "$plan" ] || exit 0

if [ -z "$programs" ]; then
    say 'building (the first time this takes minutes)'
    (cd "$root" && cargo build --release -p campanile -p campanile-load)
    programs=${CARGO_TARGET_DIR:-$root/target}/release
fi
for program in campanile campanile-load; do
    [ -x "$programs/$program" ] || fail "$programs/$program is not there"
done
scratch=$(mktemp -d)
undo=
# shellcheck disable=SC2329
finish() {
    [ -z "$undo" ] || "$root/tuning/apply.sh" --undo
    rm -rf "$scratch"
}
trap finish EXIT

if [ "$where" = here ]; then
    tune=
    # What was applied before is not ours to take back.
    if [ "$is_root" = yes ] && [ ! -e /etc/sysctl.d/90-campanile.conf ]; then
        tune=yes
        undo=yes
    fi
    rest=${rest:-30}
    export connections descriptors drop rest tune report server_cpus client_cpus programs tuning=$root/tuning json=${json:-$scratch/figures.json}
    sh "$tools/play.sh"
    exit
fi

say "booting a virtual machine of $guest_mib MiB; it takes about $((1 + connections / 60000)) minutes where nothing else runs, most of them for logging in"
{
    printf 'connections=%s descriptors=%s drop=%s rest=%s\n' "$connections" "$descriptors" "$drop" "${rest:-5}"
    cat <<'GUEST'
programs=/bin tuning=/tmp/tuning json=/tmp/figures.json server_cpus=0,1 client_cpus=0,1 emulated=yes tune=yes
mkdir -p /tmp/tuning/sysctl.d
cp /bin/apply.sh /tmp/tuning/
cp /bin/90-campanile.conf /tmp/tuning/sysctl.d/
finish() {
    status=$?
    if [ -s /tmp/figures.json ]; then
        echo '-- figures'
        cat /tmp/figures.json
        echo '-- end'
    fi
    exit "$status"
}
trap finish EXIT
GUEST
    cat "$tools/play.sh"
} >"$scratch/guest"
status=0
"$tools/vm-run" -m "${guest_mib}M" -t "$limit_s" "$scratch/guest" "$programs/campanile" "$programs/campanile-load" \
    "$root/tuning/apply.sh" "$root/tuning/sysctl.d/90-campanile.conf" | tee "$scratch/output" | sed -u '/^-- figures$/,/^-- end$/d' || status=${PIPESTATUS[0]}
if [ -n "$json" ]; then sed -n '/^-- figures$/,/^-- end$/p' "$scratch/output" | sed '/^-- /d' >"$json"; fi
[ "$status" != 124 ] || fail "the virtual machine did not end by itself within $limit_s s"
exit "$status"
