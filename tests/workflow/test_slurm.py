"""A survey of three galaxies on a SLURM of four nodes: the products of a local run, whatever befalls single jobs.

`make test-slurm` installs, starts and stops that SLURM; without it these tests are skipped.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from survey_runs import CONFIG, ROOT, write_survey

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        "KLEVER_SLURM" not in os.environ, reason="no SLURM to run on; `make test-slurm` starts one and runs this"
    ),
]

GALAXIES = ["sp1", "sp15", "ph7727"]
TARGETS = [f"results/tables/{name}.ecsv" for name in ("table2", "table4", "tableA1")] + ["results/targets/targets.ecsv"]
# Times and places of a run, and machine code.
NOT_COMPARED = {"benchmarks", "kernel", "runtimes.ecsv", "status.ecsv"}
ON_SLURM = [
    *("--workflow-profile", str(ROOT / "profiles/slurm"), "--latency-wait", "20"),
    *("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"),
]
LONGEST = 1500
TOO_LITTLE = 200  # MB for the step that shall run out of memory


class Job(NamedTuple):
    """One job as SLURM remembers it."""

    number: str
    state: str
    node: str
    memory: str
    comment: str


def queue():
    """Return all jobs that SLURM remembers, in the order of submission."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i|%T|%N|%m|%k"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted((Job(*line.split("|")) for line in text.splitlines()), key=lambda job: int(job.number))


def small_survey(directory):
    """Write the survey: three galaxies, one band each."""
    write_survey(directory, dict.fromkeys(GALAXIES, "none"), CONFIG)
    table = directory / "config/observations.tsv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *[row for row in rows if row.split("\t")[1] == "H"]]) + "\n")
    return directory


def start(directory, *arguments, targets=TARGETS):
    """Start Snakemake on a survey; its words go to the file `words` beside the survey."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(directory)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    with words(directory).open("w") as stream:
        return subprocess.Popen(
            [*command, *arguments, "--", *targets],
            stdout=stream, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip


def words(directory):
    return directory.parent / f"{directory.name}.log"


def finish(process, directory):
    """Wait for the end of a run, which must be a good one; end what is left of it in any case."""
    try:
        status = process.wait(timeout=LONGEST)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert status == 0, words(directory).read_text()[-20000:]


def first_running(name, process, other_than=()):
    """Wait for a running job of this group of steps and return it."""
    end = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < end:
        for job in queue():
            if name in job.comment and job.state == "RUNNING" and job.number not in other_than and processes_of(job):
                return job
        time.sleep(0.2)
    pytest.fail(f"no job of {name} was seen running")


def processes_of(job):
    """Return the numbers of the processes of a job: those with its number in their environment."""
    mark = f"SLURM_JOB_ID={job.number}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def take_down(node, job):
    """Let a node fail: its daemon, the one of the job's step, and the job end at once, and SLURM notices."""
    daemon = int((Path("/etc/slurm/slurm.conf").resolve().parent / f"slurmd.{node}.pid").read_text())
    steps = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(f"slurmstepd: [{job.number}.".encode()):
                steps.append(int(folder.name))
        except OSError:
            continue
    for number in [*steps, daemon, *processes_of(job)]:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    subprocess.run(["scontrol", "update", f"nodename={node}", "state=down", "reason=killed"], check=True)


class Run(NamedTuple):
    """What the tests look at."""

    local: Path
    remote: Path
    jobs: list
    cancelled: str
    killed: str


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The survey on this machine, and through SLURM with one job cancelled, one killed, one short of memory."""
    begin = time.monotonic()
    folder = tmp_path_factory.mktemp("slurm")
    local, remote = small_survey(folder / "local"), small_survey(folder / "remote")
    finish(start(local, "--cores", "2"), local)
    between = time.monotonic()
    process = start(remote, *ON_SLURM, "--set-resources", f"target_choice:mem_mb={TOO_LITTLE}")
    try:
        cancelled = first_running("simulate_galaxy", process)
        subprocess.run(["scancel", cancelled.number], check=True)
        killed = first_running("simulate_galaxy", process, other_than=[cancelled.number])
        for number in processes_of(killed):
            os.kill(number, signal.SIGKILL)
    finally:
        finish(process, remote)
    jobs = queue()
    print(f"\nlocal run {between - begin:.0f} s, through SLURM {time.monotonic() - between:.0f} s; SLURM's jobs:")
    for job in jobs:
        print("  {:>3} {:9} {:3} {:>6} {}".format(*job))
    print(f"cancelled: job {cancelled.number}; killed: job {killed.number}")
    return Run(local, remote, jobs, cancelled.number, killed.number)


def products(directory):
    """Return {path in results: content} of what a run made."""
    results = directory / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] not in NOT_COMPARED
    }


def test_every_product_is_that_of_the_local_run(run):
    local, remote = products(run.local), products(run.remote)
    assert set(TARGETS) <= {f"results/{name}" for name in local}
    assert local.keys() == remote.keys()
    different = [name for name in local if local[name] != remote[name]]
    assert not different, "\n".join(different)
    print(f"{len(local)} products, {sum(name.endswith('.ecsv') for name in local)} of them tables: identical")


def test_jobs_ran_on_several_nodes(run):
    """Each galaxy is one job."""
    nodes = {job.node for job in run.jobs if job.state == "COMPLETED"}
    assert len(nodes) >= 3
    galaxies = [job for job in run.jobs if job.comment.startswith("rule_galaxy")]
    assert [job.state for job in galaxies] == ["COMPLETED"] * 3
    print(f"jobs on the nodes {', '.join(sorted(nodes))}")


def test_a_cancelled_and_a_killed_job_were_sent_again(run):
    state = {job.number: job.state for job in run.jobs}
    assert state[run.cancelled] == "CANCELLED"
    assert state[run.killed] == "FAILED"
    simulations = [job.state for job in run.jobs if "simulate_galaxy" in job.comment]
    assert sorted(simulations) == ["CANCELLED", "COMPLETED", "COMPLETED", "COMPLETED", "FAILED"]


def test_a_job_out_of_memory_was_sent_again_with_more(run):
    attempts = [job for job in run.jobs if job.comment.startswith("rule_target_choice")]
    assert [job.state for job in attempts][-1] == "COMPLETED"
    assert len(attempts) > 1
    assert all(job.state in {"FAILED", "OUT_OF_MEMORY"} for job in attempts[:-1])
    assert [job.memory for job in attempts] == [f"{TOO_LITTLE * (1 + i)}M" for i in range(len(attempts))]
    # Not in what the run printed: SLURM may write it after Snakemake showed the job's log.
    logs = run.remote / ".snakemake/slurm_logs/rule_target_choice"
    assert "exceeded memory limit" in (logs / f"{attempts[0].number}.log").read_text()
    print(f"memory asked for by the attempts: {', '.join(job.memory for job in attempts)}")


def test_a_job_whose_node_went_down_ran_on_another(run):
    """Sent again by Snakemake: SLURM, which would do it by itself, waits for two minutes. The node stays down."""
    good = products(run.remote)
    again = ["--slurm-no-requeue", "--forcerun", "target_choice"]
    process = start(run.remote, *ON_SLURM, *again, targets=TARGETS[-1:])
    try:
        first = first_running("rule_target_choice", process, other_than=[job.number for job in run.jobs])
        take_down(first.node, first)
    finally:
        finish(process, run.remote)
    last = [job for job in queue() if job.comment.startswith("rule_target_choice")][-1]
    assert {job.number: job.state for job in queue()}[first.number] == "NODE_FAIL"
    assert last.state == "COMPLETED"
    assert last.node != first.node
    assert products(run.remote) == good
    print(f"job {first.number} was on {first.node} when that node went down; job {last.number} ended on {last.node}")
