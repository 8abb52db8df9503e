#!/usr/bin/env bash
# run.sh COMMAND...: starts a SLURM of three virtual nodes, runs the command with KLEVER_SLURM=1, and stops the SLURM
# whatever became of the command. Where SLURM can be neither found nor installed, says so and runs nothing.
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
"$here/install.sh" && "$here/start.sh" "$folder" 3 || status=$?
if [ "$status" = 77 ]; then
    echo "test-slurm: skipped, for the reason above"
    exit 0
fi
[ "$status" = 0 ] || exit "$status"
KLEVER_SLURM=1 setsid "$@" &
command=$!
wait "$command" || status=$?
command=
exit "$status"
