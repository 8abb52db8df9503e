#!/usr/bin/env bash
# run.sh COMMAND...: starts a SLURM of four virtual nodes, runs the command with KLEVER_SLURM=1, and stops the SLURM
# whatever became of the command. Where SLURM cannot be installed or started, says so and runs nothing: no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/klever-slurm.XXXXXX")
# Users of SLURM other than root must reach munge's socket.
chmod 711 "$folder"
echo $$ >"$folder/owner"
command=
finish() {
    set +e
    # All that the command started is in its session.
    if [ -n "$command" ] && kill -- "-$command" 2>/dev/null; then
        for _ in $(seq 20); do kill -0 -- "-$command" 2>/dev/null && sleep 0.25; done
        kill -KILL -- "-$command" 2>/dev/null
    fi
    "$here/stop.sh" "$folder"
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

status=0
"$here/install.sh" && timeout 90 "$here/start.sh" "$folder" 4 || status=$?
if [ "$status" != 0 ]; then
    echo "test-slurm: skipped, no SLURM could be installed and started here, for the reason above"
    exit 0
fi
KLEVER_SLURM=1 setsid "$@" &
command=$!
wait "$command" || status=$?
command=
exit "$status"
