#!/usr/bin/env bash
# stop.sh FOLDER: ends what start.sh FOLDER started, its jobs first, by its own pid files, and waits until it is gone.
set -u
folder=$(realpath "$1")
export SLURM_CONF="$folder/slurm.conf"
if [ -f "$folder/slurmctld.pid" ]; then
    timeout 20 squeue --noheader --format=%i 2>/dev/null | xargs --no-run-if-empty scancel 2>/dev/null
    for _ in $(seq 40); do
        [ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ] && break
        sleep 0.25
    done
fi
for file in "$folder"/slurmd.*.pid "$folder/slurmctld.pid" "$folder/munge/pid"; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    for _ in $(seq 40); do
        kill -0 "$pid" 2>/dev/null || continue 2
        sleep 0.25
    done
    kill -KILL "$pid" 2>/dev/null
done
if [ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ]; then
    rm /etc/slurm/slurm.conf
    [ -f "$folder/made-etc-slurm" ] && rmdir /etc/slurm
fi
exit 0
