#!/usr/bin/env bash
# A Ray cluster of several nodes on one machine, to try ddmlp as it runs on several machines.
#
#   cluster/local.sh start [--workers N] [--cpus C] [--port P]   a head and N (2) more nodes, each with C (2) CPUs
#   eval "$(cluster/local.sh env)"                                point Ray programs of this shell at it
#   cluster/local.sh join [--cpus C]                              adds a node, also while a run trains
#   cluster/local.sh status
#   cluster/local.sh stop                                         ends these processes and no others
#
# All its files are in one folder, DDMLP_CLUSTER_DIR (default /tmp/ddmlp-cluster-UID). Linux only.
set -euo pipefail

state=${DDMLP_CLUSTER_DIR:-/tmp/ddmlp-cluster-$(id -u)}
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "$*" >&2; }
die() { say "error: $1"; exit "${2:-1}"; }
usage() { die "$1; usage: local.sh start [--workers N] [--cpus C] [--port P] | env | join [--cpus C] | status | stop" 2; }

find_ray() {
    local ray
    ray=$(command -v ray) || ray=$repo/.venv/bin/ray
    [[ -x $ray ]] || die "no 'ray' on PATH or in $repo/.venv/bin: activate the environment that ddmlp is installed in"
    realpath -s "$ray"
}

# Every node is started in a separate session, and its processes stay in it whatever their names (Ray renames many) and
# parents are. The kernel may give the number of a dead session to another process, so a recorded number counts only as
# long as a process in the session names this folder.
sessions() {
    local sid
    while read -r sid; do
        if [[ $(ps -ww -o args= -s "$sid") == *"$state/"* ]]; then echo "$sid"; fi
    done <"$state/sessions"
}

# living SESSIONS [PATTERN]: their processes whose command matches. Zombies do not count: they hold nothing, and in a
# container nothing may ever reap them.
living() {
    [[ $1 ]] || return 0
    { ps -ww -o stat=,pid=,args= -s "${1//$'\n'/,}" || true; } |
        awk -v pattern="${2:-.}" '$1 !~ /^Z/ && $3 ~ pattern { print $2 }'
}

# reachable PROCESSES: the addresses on which they listen and that other machines can reach.
reachable() {
    ss -Hltnp | awk -v pids="$1" '
        BEGIN { split(pids, list); for (i in list) ours[list[i]] }
        $4 !~ /^(127\.|\[::1\]|\[::ffff:127\.)/ && match($0, /pid=[0-9]+/) && substr($0, RSTART + 4, RLENGTH - 4) in ours {
            print $4
        }'
}

report_sockets() {
    if ! command -v ss >/dev/null; then
        say "not checked which addresses it listens on: no 'ss' here"
        return
    fi
    local open
    open=$(reachable "$(living "$(sessions)" | tr '\n' ' ')")
    if [[ $open ]]; then
        say "warning: it also listens on ${open//$'\n'/, }: only the token keeps other machines out"
    else
        say "listens on 127.0.0.1 only"
    fi
}

# The folder belongs to this user and is no link: in /tmp, any user can create a file of this name.
started() { [[ -d $state && -O $state && ! -L $state && -f $state/sessions ]]; }

# end SIGNAL TENTHS SESSIONS [PATTERN]: signal them and wait, bounded.
end() {
    local pids signalled=
    for ((i = 0; i < $2; i++)); do
        pids=$(living "$3" "${4:-}")
        [[ $pids ]] || return 0
        for pid in $pids; do
            # Each gets one signal: a second one would interrupt its shutdown.
            [[ " $signalled" == *" $pid "* ]] || kill -s "$1" "$pid" 2>/dev/null || true
            signalled+="$pid "
        done
        sleep 0.1
    done
}

# A raylet ends its own workers and agents, and hangs if they end before; the autoscaler's monitor hangs if the GCS ends
# before it.
remove() {
    local sids
    sids=$(sessions)
    end TERM 50 "$sids" '/raylet$'
    end TERM 30 "$sids" '/python[0-9.]*$|^ray::'
    end TERM 30 "$sids"
    end KILL 50 "$sids"
    local left
    left=$(living "$sids")
    [[ -z $left ]] || die "could not end ${left//$'\n'/, }"
    rm -rf -- "$state"
}

# node NAME VARIABLE=VALUE... FLAG...: one `ray start`; its output is kept to be shown if it fails. The kernel chooses
# the ports if Ray allows it, so that two clusters on one machine do not collide.
node() {
    local name=$1 settings=()
    shift
    while [[ ${1:-} == *=* && $1 != --* ]]; do settings+=("$1"); shift; done
    # $$ is the number of the new session; it must be recorded before Ray starts a process.
    # shellcheck disable=SC2016
    env -u RAY_ADDRESS -u RAY_AUTH_TOKEN "${settings[@]}" RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$state/token" \
        RAY_USAGE_STATS_ENABLED=0 \
        setsid --wait bash -c 'echo $$ >>"$1" && shift && exec "$@"' node "$state/sessions" \
        "$ray" start "$@" --temp-dir="$state/$name" --num-cpus="$cpus" --object-store-memory=$((256 << 20)) \
        --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 --disable-usage-stats \
        </dev/null >"$state/$name.log" 2>&1
}

# flags COMMAND "NAME..." ARGUMENT...: sets the variables of the given flags, which must be among the names.
flags() {
    local command=$1 known=$2
    shift 2
    while (($#)); do
        [[ $1 == --* && " $known " == *" ${1#--} "* ]] || usage "$command does not know '$1'"
        [[ ${2:-} =~ ^(0|[1-9][0-9]{0,4})$ ]] || usage "$1 needs a whole number, not '${2:-}'"
        printf -v "${1#--}" %s "$2"
        shift 2
    done
}

start() {
    local workers=2 cpus=2 port=6390 ray
    flags start "workers cpus port" "$@"
    ((workers <= 64)) || usage "--workers $workers: at most 64 on one machine"
    ((port >= 1024 && port < 65535)) || usage "--port $port: not between 1024 and 65534"
    [[ $state == /* ]] || usage "DDMLP_CLUSTER_DIR must be an absolute path, not '$state'"
    # Ray puts sockets below it, and a socket's path has at most 107 bytes.
    ((${#state} <= 40)) || usage "DDMLP_CLUSTER_DIR must be at most 40 characters long: $state"
    for tool in setsid ps awk; do command -v "$tool" >/dev/null || die "needs '$tool' (Linux only)"; done
    ray=$(find_ray)
    # Ray's client server takes the next port. It is not used here, but cannot be switched off.
    for taken in "$port" $((port + 1)); do
        if (: <"/dev/tcp/127.0.0.1/$taken") 2>/dev/null; then
            die "port $taken is in use: choose another one by --port P, which uses P and P+1"
        fi
    done

    umask 077
    mkdir -p "$(dirname "$state")"
    # Of two simultaneous starts, only one succeeds here.
    mkdir "$state" 2>/dev/null ||
        die "$state exists: a cluster is already started, or was left behind; see 'local.sh status', 'local.sh stop'"
    : >"$state/sessions"
    trap 'say "start failed, cleaning up"; remove' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$state/token"
    # Ray listens on 127.0.0.1 only, instead of on all addresses, if it finds that to be the node's own address. It
    # replaces "localhost" and "127.0.0.1" by the machine's external address, unless this variable disables clusters;
    # but then it joins no nodes. So the other nodes are started without the variable, with a spelling of the head's
    # name that Ray does not recognise, and find 127.0.0.1 to be the address from which they reach it.
    local address=Localhost:$port
    echo "$address" >"$state/address"
    say "starting a head and $workers more nodes; logs in $state"
    node head RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 --head --port="$port" --ray-client-server-port=$((port + 1)) \
        --include-dashboard=false || { tail -n 5 "$state/head.log" >&2; die "the head did not start"; }
    local joining=() i
    for ((i = 1; i <= workers; i++)); do
        node "$i" --address="$address" &
        joining+=($!)
    done
    for ((i = 1; i <= workers; i++)); do
        wait "${joining[i - 1]}" || { tail -n 5 "$state/$i.log" >&2; die "node $i did not start"; }
    done
    trap - EXIT INT TERM
    report_sockets
    say "ready; in the shell that uses it: eval \"\$($0 env)\""
    environment
}

join() {
    local cpus=2 ray name
    flags join cpus "$@"
    started || die "no cluster is started ($state)"
    ray=$(find_ray)
    name=$(wc -l <"$state/sessions")
    node "$name" --address="$(<"$state/address")" || { tail -n 5 "$state/$name.log" >&2; die "node $name did not start"; }
    say "node $name has joined"
}

environment() {
    started || die "no cluster is started ($state)"
    printf 'export RAY_ADDRESS=%q\n' "$(<"$state/address")"
    echo 'export RAY_AUTH_MODE=token'
    printf 'export RAY_AUTH_TOKEN_PATH=%q\n' "$state/token"
    # It would override the path.
    echo 'unset RAY_AUTH_TOKEN'
}

status() {
    started || die "no cluster is started ($state)"
    local sids nodes raylets
    sids=$(sessions)
    nodes=$(wc -l <"$state/sessions")
    raylets=$(living "$sids" '/raylet$' | wc -l)
    say "$(<"$state/address"): $raylets of $nodes nodes run, $(living "$sids" | wc -w) processes, logs in $state"
    ((raylets == nodes)) || die "not all nodes run: 'local.sh stop' the cluster, and start it again"
    report_sockets
}

stop() {
    if [[ ! -e $state ]]; then
        say "nothing to stop: no cluster is started ($state)"
        return
    fi
    started || die "$state was not made by 'local.sh start': remove it yourself, or set DDMLP_CLUSTER_DIR"
    remove
    say "stopped"
}

command=${1:-}
(($#)) && shift
case $command in
    start | join) "$command" "$@" ;;
    env | status | stop)
        (($# == 0)) || usage "$command takes no arguments"
        [[ $command == env ]] && command=environment
        "$command"
        ;;
    *) usage "unknown command '$command'" ;;
esac
