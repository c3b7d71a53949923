#!/usr/bin/env bash
# A Ray cluster that lasts as long as one training. ssh.sh and slurm.sh source this file for the head, and run it on the
# other machines:
#
#   cluster/nodes.sh join HOST:PORT       a node, until standard input ends; its first line is the token
#
# Each node has a new folder in /tmp for Ray's files, and removes it. Linux only.
set -euo pipefail

seconds=60 # the bound of each wait
folder='' node=''

die() { echo "error: $(hostname): $1" >&2; exit "${2:-1}"; }

# bin: the folder of the environment that ddmlp is installed in.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ray=$(command -v ray); then bin=$(dirname "$ray"); else bin=$(dirname "$here")/.venv/bin; fi
[[ -x $bin/ray ]] || die "no 'ray' on PATH or in $bin: activate the environment that ddmlp is installed in"

# start FLAG...: nodes of several clusters may share a machine, so the kernel chooses the ports if Ray allows it. In a
# session of its own, a node does not get the Ctrl-C of a terminal.
start() {
    folder=$(mktemp -d /tmp/ddmlp.XXXXXX)
    env -u RAY_ADDRESS RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=1 \
        setsid "$bin/ray" start "$@" --block --temp-dir="$folder" --num-cpus="${SLURM_CPUS_PER_TASK:-$(nproc)}" \
        --object-store-memory=$((256 << 20)) --min-worker-port=0 --max-worker-port=0 \
        --dashboard-agent-listen-port=0 --disable-usage-stats </dev/null >"$folder/log" 2>&1 5>&- &
    node=$!
}

# `ray start --block` ends its node when it gets TERM. What it leaves of its session is killed.
end() {
    [[ $node ]] || return 0
    kill -TERM "$node" 2>/dev/null || true
    for ((i = 0; i < seconds * 10; i++)); do
        kill -0 "$node" 2>/dev/null || break
        sleep 0.1
    done
    local left
    left=$(ps -o pid= -s "$node" || true)
    # shellcheck disable=SC2086
    [[ -z $left ]] || kill -KILL $left 2>/dev/null || true
    rm -rf -- "$folder"
}

failed() { tail -n 5 "$folder/log" >&2; die "$1"; }

# answers HOST:PORT: bounded, because packets may be dropped.
# shellcheck disable=SC2016
answers() { timeout 5 bash -c ': <"/dev/tcp/$0/$1"' "${1%:*}" "${1##*:}" 2>/dev/null; }

# `ray start` writes that it blocks, once its node takes part.
started() { grep -qse --block "$folder/log"; }

# wait_for WHAT COMMAND...: waits until the command succeeds.
wait_for() {
    local begun=$SECONDS
    until "${@:2}"; do
        [[ -z $node ]] || kill -0 "$node" 2>/dev/null || failed "$1 has ended"
        ((SECONDS - begun < seconds)) || die "$1 has not started in $seconds s"
        sleep 0.2
    done
}

join() {
    local reader
    trap 'trap "" TERM; end' EXIT
    trap 'exit 143' TERM
    IFS= read -r RAY_AUTH_TOKEN || die "standard input has no token"
    export RAY_AUTH_TOKEN
    wait_for "Ray's head at $1" answers "$1"
    start --address="$1"
    wait_for "Ray's node" started
    echo joined
    cat >/dev/null <&0 &
    reader=$!
    wait -n "$node" "$reader" || true
    kill -0 "$reader" 2>/dev/null || return 0
    kill "$reader"
    failed "Ray's node has ended"
}

# prepare: makes the token, a file for what nodes say, and a pipe. The other nodes end when no process has it open for
# writing. Only this shell has: so they end with it, however it ends.
prepare() {
    local path
    RAY_AUTH_TOKEN=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
    export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
    joined=$(mktemp)
    path=$(mktemp -u)
    mkfifo -m 600 "$path"
    # shellcheck disable=SC2094
    exec 5<>"$path" 6<"$path"
    rm "$path"
}

# elsewhere COMMAND...: a command that runs `join` on other machines, with this standard input.
elsewhere() {
    { echo "$RAY_AUTH_TOKEN"; exec cat <&6; } 5>&- | setsid "$@" >>"$joined" 5>&- 6<&- &
}

# finish: ends all nodes. May be called twice.
finish() {
    trap '' INT TERM HUP
    exec 5>&-
    wait
    rm -f "$joined"
}

all_joined() { (($(grep -c '^joined$' "$joined") == $1)); }

# train HOST:PORT OTHERS FLAG...: starts the head, waits for the other nodes, trains, and ends all nodes. A terminal sends
# INT and HUP to the training, too; TERM has to be passed on. `env`, because the jobs of a script ignore INT.
train() {
    local training code signal=''
    trap finish EXIT
    ! answers "$1" || die "port ${1##*:} of this machine is in use: set DDMLP_PORT to another one"
    start --head --node-ip-address="${1%:*}" --port="${1##*:}" --ray-client-server-port=$((${1##*:} + 1)) \
        --include-dashboard=false
    # As the other nodes, the head ends when the pipe is closed.
    { trap '' INT TERM HUP; cat <&6 >/dev/null; end; } 5>&- &
    wait_for "Ray's head" started
    # Before, the training would place all workers on the nodes that are there.
    wait_for "one of the $2 other nodes" all_joined "$2"
    RAY_ADDRESS=$1 env --default-signal=INT "$bin/python" -m ddmlp.train "${@:3}" <&0 5>&- 6<&- &
    training=$!
    trap 'signal=1; kill -TERM "$training" 2>/dev/null || true' TERM
    trap 'signal=1' INT HUP
    while true; do
        signal='' code=0
        wait "$training" || code=$?
        [[ $signal ]] || return "$code"
    done
}

[[ ${BASH_SOURCE[0]} != "$0" ]] && return
[[ ${1:-} == join && ${2:-} =~ ^[^:]+:[0-9]{1,5}$ && $# == 2 ]] || die "usage: nodes.sh join HOST:PORT" 2
join "$2"
