#!/usr/bin/env bash
# start.sh FOLDER [NODES]: a SLURM of several virtual nodes on this machine, without systemd, database or cgroups.
# Everything it writes is in FOLDER, but for the link /etc/slurm/slurm.conf; a SLURM the machine may have is left alone.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
nodes=${2:-3}
host=$(hostname -s)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

mkdir -p "$folder"/{munge,state,log}
chmod 700 "$folder/munge"
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
chmod 711 "$folder/munge"
munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" 2>/dev/null

cat >"$folder/slurm.conf" <<CONF
ClusterName=klevertest
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
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
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/completed
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory,CR_LLN
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
MinJobAge=300
KillWait=2
PropagateResourceLimits=NONE
CONF
for number in $(seq "$nodes"); do
    mkdir -p "$folder/spool.n$number"
    echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=8 RealMemory=16000" \
        >>"$folder/slurm.conf"
done
echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=02:00:00 State=UP" >>"$folder/slurm.conf"
# Read by every slurmd, used by none: processes are tracked through /proc.
printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$folder/cgroup.conf"

# Snakemake's job step calls srun without SLURM_CONF, so the configuration must be where SLURM looks for it.
if [ -e /etc/slurm/slurm.conf ] && ! [ -L /etc/slurm/slurm.conf ]; then
    echo "this machine has a SLURM of its own (/etc/slurm/slurm.conf), which is left alone" >&2
    exit 77
fi
mkdir -p /etc/slurm
ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
export SLURM_CONF="$folder/slurm.conf"
slurmctld -f "$SLURM_CONF"
for number in $(seq "$nodes"); do slurmd -f "$SLURM_CONF" -N "n$number"; done
for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle 2>/dev/null | wc -l)" = "$nodes" ] && exit 0
    sleep 0.5
done
echo "the nodes did not come up; see $folder/log" >&2
exit 1
