#!/usr/bin/env bash
# One training on this machine and on others that ssh reaches. Each has this checkout and the dataset at the same paths.
#
#   cluster/ssh.sh "HOST HOST..." --workers 8 --run RUN FLAG...      the flags are those of python -m ddmlp.train
#
# This machine is Ray's head; the hosts reach it at the address that ssh connects from. Ray takes the ports 6390 and 6391
# (DDMLP_PORT=P: P and P+1). Ctrl-C leaves a checkpoint. Any end of this script, also by kill -9, ends Ray everywhere.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=cluster/nodes.sh
source "$here/nodes.sh"
read -ra hosts <<<"${1:-}"
((${#hosts[@]})) || die "usage: ssh.sh \"HOST HOST...\" FLAG..." 2
# ssh asks no questions, and ends if the network is gone for a minute.
ssh=(ssh -T -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4)

# shellcheck disable=SC2016
read -r mine _ < <("${ssh[@]}" -n "${hosts[0]}" 'echo $SSH_CONNECTION') ||
    die "ssh does not reach ${hosts[0]} without a question"
address=$mine:${DDMLP_PORT:-6390}
prepare
for host in "${hosts[@]}"; do
    elsewhere "${ssh[@]}" "$host" "exec $(printf '%q ' "$here/nodes.sh" join "$address")"
done
train "$address" "${#hosts[@]}" "${@:2}"
