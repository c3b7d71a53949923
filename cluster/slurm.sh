#!/usr/bin/env bash
# One training as a Slurm job, on all nodes that Slurm gives it. Submit it in this checkout, which all nodes see:
#
#   sbatch --nodes 4 cluster/slurm.sh RUN FLAG...          the flags are those of python -m ddmlp.train, without --run
#
# There is one worker a CPU, unless --workers N says otherwise. If the folder RUN has a run, the job resumes it. So Slurm
# may start it again when a node has failed, and does so when the time limit is near.
#SBATCH --job-name=ddmlp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Two minutes before the time limit: the training leaves a checkpoint.
#SBATCH --signal=B:TERM@120
set -euo pipefail

here=$SLURM_SUBMIT_DIR/cluster # Slurm runs a copy of this file
# shellcheck source=cluster/nodes.sh
source "$here/nodes.sh"
(($#)) || die "usage: sbatch slurm.sh RUN FLAG..." 2
cpus=${SLURM_CPUS_PER_TASK:-1}
run=$1
shift
resume=()
[[ ! -e $run/config.json ]] || resume=(--resume)
# The first node runs this script, and is Ray's head, at the address that Slurm has for it. Jobs that share a node differ
# in their ports.
name=$(scontrol show node "$SLURMD_NODENAME" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
read -r address _ < <(getent ahostsv4 "$name") || true
[[ $address ]] || die "Slurm has no address for $SLURMD_NODENAME"
address=$address:${DDMLP_PORT:-$((20000 + 2 * (SLURM_JOB_ID % 5000)))}
prepare
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others)); then
    elsewhere srun --relative=1 --nodes=$others --ntasks=$others --cpus-per-task="$cpus" --input=all \
        "$here/nodes.sh" join "$address"
fi
code=0
train "$address" "$others" --workers $((SLURM_JOB_NUM_NODES * cpus)) --run "$run" "${resume[@]}" "$@" || code=$?
# Slurm asked it to stop, and it has saved a checkpoint. The bound is for a run that never gets further.
finish
if ((code == 130 && ${SLURM_RESTART_COUNT:-0} < 20)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
