#!/usr/bin/env bash
# Several hosts on one Linux machine, each with its own network, processes, /tmp and /dev/shm, and a Ray node.
#
#   cluster/hosts.sh start [--hosts N] [--cpus C] [--head-cpus C] [--share FOLDER]
#                                                                    N (3) hosts with C (1) CPUs; host 1 is Ray's head
#   cluster/hosts.sh on HOST COMMAND...                              run a command on a host
#   cluster/hosts.sh link HOST HOST [--delay MS] [--loss PERCENT] [--rate MBIT]
#   cluster/hosts.sh cut HOST HOST [--one-way]                       nothing passes; one way: from the first to the second
#   cluster/hosts.sh heal [HOST HOST]                                end these cuts, or all
#   cluster/hosts.sh links                                           a table of all links
#   cluster/hosts.sh join [--cpus C]                                 one host more; prints its number
#   cluster/hosts.sh leave HOST                                      ends its Ray as `ray stop` does
#   cluster/hosts.sh kill HOST                                       a power failure: no connection is closed
#   cluster/hosts.sh status
#   cluster/hosts.sh stop                                            ends all hosts
#   cluster/hosts.sh check                                           whether this machine permits it
#
# HOST is a number, or "all" for links. Root is needed. All it makes is in one folder, DDMLP_HOSTS_DIR (default
# /var/tmp/ddmlp-hosts). Hosts see the machine's other folders; of /tmp only FOLDER and this checkout.
set -euo pipefail

state=${DDMLP_HOSTS_DIR:-/var/tmp/ddmlp-hosts}
here=$(cd "$(dirname "$0")" && pwd)
network=10.77.0 # as in switch.py
head=$network.1:6379

say() { echo "$*" >&2; }
die() { say "error: $1"; exit "${2:-1}"; }
usage() { die "$1; the beginning of $here/hosts.sh lists the commands" 2; }

check() {
    [[ $(uname) == Linux ]] || die "hosts.sh needs Linux"
    ((EUID == 0)) || die "hosts.sh needs root, because it makes network namespaces: run it by sudo"
    for tool in ip unshare nsenter setsid mount; do
        command -v "$tool" >/dev/null || die "needs '$tool': apt-get install iproute2 util-linux"
    done
    # The group is one command: opening the device is all that it does.
    { : <>/dev/net/tun; } 2>/dev/null || die "/dev/net/tun cannot be opened: this system permits no TUN devices"
    unshare --net --mount --uts --ipc --pid --fork mount -t proc proc /proc 2>/dev/null ||
        die "this system permits no namespaces (unshare)"
}

# The programs of the environment that ddmlp is installed in.
programs() {
    local ray
    ray=$(command -v ray) || ray=$here/../.venv/bin/ray
    [[ -x $ray ]] || die "no 'ray' on PATH nor in $(dirname "$here")/.venv/bin: activate the environment ddmlp is installed in"
    dirname "$(realpath -s "$ray")"
}

started() { [[ -d $state && -O $state && ! -L $state && -f $state/token ]] || die "no hosts are started ($state)"; }

ask() { "$(programs)/python" "$here/links.py" "$state/switch" "$@"; }

# The first process of a host; fails if the host is not there. The kernel may give a dead process's number to another.
process() {
    local pid
    [[ $1 =~ ^[1-9][0-9]*$ && -f $state/$1/pid ]] || die "no host $1 ($state)"
    pid=$(<"$state/$1/pid")
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$state/$1 " || die "host $1 is down"
    echo "$pid"
}

# The first process of a host, in its namespaces: $1 is the host's folder, $2 its number, and the rest are the folders
# that it shares.
# shellcheck disable=SC2016
first='
    set -e
    mine=$1 number=$2
    shift 2
    read -r pid _ </proc/self/stat # the number outside
    for folder; do
        case $folder/ in /tmp/*)
            mkdir -p "$mine$folder"
            mount --rbind "$folder" "$mine$folder" ;;
        esac
    done
    mount --rbind "$mine/tmp" /tmp
    mount -t tmpfs -o mode=1777 shm /dev/shm
    mount -t proc proc /proc
    mount --bind "$mine/../names" /etc/hosts
    hostname "host$number"
    ip link set lo up
    echo "$pid" >"$mine/pid"
    trap exit TERM
    while :; do sleep 1000 & wait $!; done'

# make HOST: the namespaces of a host, connected to the switch.
make() {
    local mine=$state/$1 folders i
    mkdir -p "$mine/tmp"
    chmod 1777 "$mine/tmp"
    mapfile -t folders <"$state/shared"
    setsid --fork unshare --net --mount --uts --ipc --pid --fork --kill-child \
        bash -c "$first" first "$mine" "$1" "${folders[@]}" </dev/null >"$mine/log" 2>&1
    for ((i = 0; i < 100; i++)); do
        [[ -s $mine/pid ]] && break
        sleep 0.05
    done
    [[ -s $mine/pid ]] || die "host $1 did not start: $(<"$mine/log")"
    ask add "$1" --process "$(<"$mine/pid")"
}

# inside HOST COMMAND...: run it in the namespaces of a host, in this folder if the host sees it.
inside() {
    local pid
    pid=$(process "$1")
    shift
    trap '' HUP INT QUIT TERM # they are for the command, whose status nsenter waits for
    # shellcheck disable=SC2016
    exec env -u RAY_AUTH_TOKEN RAY_ADDRESS="$head" RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$state/token" \
        RAY_USAGE_STATS_ENABLED=0 PATH="$(programs):$PATH" \
        nsenter --target "$pid" --net --mount --uts --ipc --pid \
        bash -c 'cd "$1" 2>/dev/null || cd /; shift
            exec env --default-signal=HUP,INT,QUIT,TERM "$@"' inside "$PWD" "$@"
}

# node HOST CPUS: the Ray of a host.
node() {
    local role=(--address="$head")
    (($1 == 1)) && role=(--head --port="${head#*:}" --include-dashboard=false)
    (inside "$1" env -u RAY_ADDRESS ray start "${role[@]}" --node-ip-address="$network.$1" --num-cpus="$2" \
        --object-store-memory=$((128 << 20)) --disable-usage-stats) </dev/null >"$state/$1/ray.log" 2>&1 ||
        { tail -n 5 "$state/$1/ray.log" >&2; die "the Ray of host $1 did not start"; }
}

start() {
    local hosts=3 cpus=1 head_cpus='' share=() i name
    while (($#)); do
        case $1 in
            --hosts | --cpus | --head-cpus)
                whole "$1" "${2:-}"
                name=${1#--}
                printf -v "${name//-/_}" %s "$2"
                ;;
            --share) [[ -d ${2:-} ]] || usage "--share needs a folder, not '${2:-}'" && share+=("$(realpath "$2")") ;;
            *) usage "start does not know '$1'" ;;
        esac
        shift 2
    done
    ((hosts > 0 && hosts <= 64)) || usage "--hosts $hosts: 1 to 64"
    [[ $state == /* && $state/ != /tmp/* ]] || usage "DDMLP_HOSTS_DIR must be an absolute path, not below /tmp: $state"
    check
    programs >/dev/null
    umask 077
    # The one step that only one of two simultaneous starts can win.
    mkdir "$state" 2>/dev/null || die "already started, or left over: $state exists; see 'hosts.sh status', 'hosts.sh stop'"
    trap 'say "start failed, cleaning up"; remove' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '%s\n' "$(dirname "$here")" "${share[@]}" >"$state/shared"
    { echo 127.0.0.1 localhost; for i in {1..254}; do echo "$network.$i host$i"; done; } >"$state/names"
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$state/token"
    setsid --fork "$(programs)/python" "$here/switch.py" "$state/switch" </dev/null >"$state/log" 2>&1
    for ((i = 0; i < 100; i++)); do
        [[ -S $state/switch ]] && break
        sleep 0.05
    done
    say "starting $hosts hosts; logs in $state"
    for ((i = 1; i <= hosts; i++)); do make "$i"; done
    node 1 "${head_cpus:-$cpus}"
    local joining=()
    for ((i = 2; i <= hosts; i++)); do
        node "$i" "$cpus" &
        joining+=($!)
    done
    for i in "${joining[@]}"; do wait "$i" || exit 1; done
    trap - EXIT INT TERM
    say "ready: $0 on 1 python -m ddmlp.train --workers $hosts"
}

whole() { [[ $2 =~ ^(0|[1-9][0-9]{0,3})$ ]] || usage "$1 needs a whole number, not '$2'"; }

numbers() { find "$state" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -n; }

join() {
    local cpus=1 number
    if (($#)); then
        [[ $1 == --cpus ]] || usage "join does not know '$1'"
        whole "$1" "${2:-}"
        cpus=$2
    fi
    number=$(($(numbers | tail -n 1) + 1))
    umask 077
    make "$number"
    node "$number" "$cpus"
    say "host $number has joined"
    echo "$number"
}

leave() {
    process "$1" >/dev/null
    (inside "$1" ray stop) >>"$state/$1/ray.log" 2>&1 || { tail -n 5 "$state/$1/ray.log" >&2; die "the Ray of host $1 did not end"; }
    say "host $1 has left"
}

# Cut first, so that no connection is closed.
kill_host() {
    local pid
    pid=$(process "$1")
    ask cut "$1" all
    kill -KILL "$pid"
}

remove() {
    local number pid
    for number in $(numbers); do
        if pid=$(process "$number" 2>/dev/null); then kill -KILL "$pid"; fi
    done
    end_switch
    rm -rf --one-file-system -- "$state"
}

end_switch() {
    local each
    for each in /proc/[0-9]*; do
        if [[ $(tr '\0' ' ' 2>/dev/null <"$each/cmdline") == *"$here/switch.py $state/switch "* ]]; then
            kill -KILL "${each#/proc/}"
        fi
    done
}

status() {
    local number up=()
    for number in $(numbers); do
        if process "$number" >/dev/null 2>&1; then up+=("$number"); fi
    done
    say "hosts up: ${up[*]:-none}; Ray's head: $head; logs in $state"
}

command=${1:-}
(($#)) && shift
case $command in
    start | check) "$command" "$@" ;;
    on)
        (($# >= 2)) || usage "on needs a host and a command"
        started
        inside "$@"
        ;;
    link | cut | heal | links) started; ask "$command" "$@" ;;
    join | status) started; "$command" "$@" ;;
    leave) started; leave "${1:-}" ;;
    kill) started; kill_host "${1:-}" ;;
    stop)
        [[ -e $state ]] || { say "nothing to stop: no hosts are started ($state)"; exit 0; }
        started
        remove
        say "stopped"
        ;;
    *) usage "what to do? '$command'" ;;
esac
