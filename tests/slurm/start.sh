#!/usr/bin/env bash
# start.sh FOLDER [NODES]: a SLURM of several virtual nodes on this machine, without systemd, database or cgroups.
# Everything it writes is in FOLDER, but for the link /etc/slurm/slurm.conf; a SLURM the machine has is left alone (77).
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
nodes=${2:-3}
host=$(hostname -s)
# Snakemake's job step calls srun without SLURM_CONF, so the configuration must be where SLURM looks for it.
link=/etc/slurm/slurm.conf

give_up() {
    echo "$1" >&2
    exit 77
}
[ "$(id -u)" = 0 ] || give_up "starting a SLURM takes root"
[ -e "$link" ] && ! grep -q ClusterName=klevertest "$link" &&
    give_up "this machine has a SLURM of its own ($link), which is left alone"
if [ -L "$link" ]; then
    other=$(dirname "$(readlink "$link")")
    # The SLURM of a test that was killed is ended first.
    [ -f "$other/owner" ] && ! kill -0 "$(cat "$other/owner")" 2>/dev/null && "$(dirname "$0")/stop.sh" "$other"
    if [ -f "$other/slurmctld.pid" ] && kill -0 "$(cat "$other/slurmctld.pid")" 2>/dev/null; then
        give_up "another test's SLURM is running; to end it: tests/slurm/stop.sh $other"
    fi
fi
[ -d /etc/slurm ] || touch "$folder/made-etc-slurm"

ports=$(python3 - "$((nodes + 1))" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PYTHON
)
read -r -a ports <<<"$ports"

mkdir -p "$folder"/{munge,state,log} /etc/slurm
# munged refuses a key that others may read, and users must reach its socket.
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
chmod 711 "$folder/munge"
munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" 2>/dev/null

cat >"$folder/slurm.conf" <<CONF
ClusterName=klevertest
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is enforced by a look at each job every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
# The least loaded node takes the next job, so that a few jobs reach all nodes.
SelectTypeParameters=CR_CPU_Memory,CR_LLN
# Nodes are as large as they say, whatever this machine is.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
# A finished job stays in squeue for so many seconds: the test reads there what became of it.
MinJobAge=7200
KillWait=2
PropagateResourceLimits=NONE
CONF
for number in $(seq "$nodes"); do
    mkdir -p "$folder/spool.n$number"
    echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[$number]} CPUs=8 RealMemory=32000" \
        >>"$folder/slurm.conf"
done
echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=1-0 State=UP" >>"$folder/slurm.conf"
# Read by every slurmd, used by none: processes are tracked through /proc.
printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$folder/cgroup.conf"

ln -sfn "$folder/slurm.conf" "$link"
export SLURM_CONF="$folder/slurm.conf"
slurmctld -f "$SLURM_CONF"
for number in $(seq "$nodes"); do slurmd -f "$SLURM_CONF" -N "n$number"; done
for _ in $(seq 60); do
    [ "$(timeout 5 sinfo -h -N -t idle 2>/dev/null | wc -l)" = "$nodes" ] && exit 0
    sleep 0.5
done
echo "the nodes did not come up:" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
