#!/usr/bin/env bash
# stop.sh FOLDER: ends what start.sh FOLDER started, by its own pid files, and waits until it is gone.
set -u
for file in "$1"/slurmd.*.pid "$1/slurmctld.pid" "$1/munge/pid"; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    for _ in $(seq 20); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
done
[ "$(readlink /etc/slurm/slurm.conf)" = "$(realpath "$1")/slurm.conf" ] && rm /etc/slurm/slurm.conf
exit 0
