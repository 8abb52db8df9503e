"""Kills, full disks, clocks and second runs: what survives, and that no later run trusts what should not be trusted."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from astropy.table import Table
from survey_runs import ROOT, copy_workflow, planned, snakemake, write_survey

pytestmark = pytest.mark.workflow

CONFIG = "figures: {dpi: 60}\n"
CUBE = "results/galaxies/sp1/H/cube.fits"
RAW = "results/simulated/cubes/sp1/H.fits"
SCENE = "results/simulated/galaxies/sp1/scene.npz"
# A step that finds its name in the file `hold` writes half a product and waits until the file is gone.
HOLD = """\
if __name__ == "__main__":
    import os
    import time
    from pathlib import Path

    if Path("hold").exists() and Path("hold").read_text() == snakemake.rule:
        Path(snakemake.output[0]).write_bytes(b"half of a product")
        Path("held.part").write_text(str(os.getpid()))
        Path("held.part").rename("held")
        while Path("hold").exists():
            time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """Copy of the workflow whose steps can be stopped midway."""
    root = copy_workflow(tmp_path_factory.mktemp("code") / "klever")
    for rule in ("simulate_galaxy", "ingest"):
        script = root / f"workflow/scripts/{rule}.py"
        text = script.read_text()
        assert text.count('if __name__ == "__main__":\n') == 1
        script.write_text(text.replace('if __name__ == "__main__":\n', HOLD))
    return root


@pytest.fixture(scope="module")
def made(code, tmp_path_factory):
    """Survey of one galaxy and band, run up to its canonical cube."""
    directory = write_survey(tmp_path_factory.mktemp("made"), {"sp1": "none"}, CONFIG)
    table = directory / "config/observations.tsv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *[row for row in rows if row.split("\t")[1] == "H"]]) + "\n")
    done = snakemake(directory, "--cores", "1", CUBE, root=code)
    assert done.returncode == 0, done.stdout
    return directory


@pytest.fixture
def run(code, made, tmp_path):
    """A private copy of the survey, as something that runs Snakemake on it."""
    directory = tmp_path / "survey"
    shutil.copytree(made, directory, symlinks=True, copy_function=shutil.copy2)
    return Run(directory, code, (made / CUBE).read_bytes())


class Run:
    """Runs of one survey."""

    def __init__(self, directory, code, good):
        self.directory, self.code, self.good = directory, code, good

    def __truediv__(self, path):
        return self.directory / path

    def __call__(self, *arguments, target=CUBE):
        return snakemake(self.directory, target, "--cores", "1", *arguments, root=self.code)

    def plan(self, target=CUBE):
        return planned(self.directory, target, root=self.code)

    def configure(self, text):
        (self / "config/config.yaml").write_text(CONFIG + text)

    @contextmanager
    def held(self, rule, *arguments, target=CUBE):
        """Start a run and wait until the job of a rule hangs with half a product; at the end nothing of it is left."""
        (self / "hold").write_text(rule)
        command = [sys.executable, "-m", "snakemake", "-s", str(self.code / "Snakefile")]
        command += ["--directory", str(self.directory), target, "--cores", "1", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        with (self / "held.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            while not (self / "held").exists():
                assert process.poll() is None, (self / "held.log").read_text()
                time.sleep(0.02)
            yield process
        finally:
            (self / "hold").unlink(missing_ok=True)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def release(self, process):
        """Let the job go on; return the run's exit status and what it printed."""
        (self / "hold").unlink()
        return process.wait(), (self / "held.log").read_text()

    def state(self, stage):
        rows = Table.read(self / "results/status.ecsv", format="ascii.ecsv").filled("")
        return next(dict(zip(rows.colnames, row, strict=True)) for row in rows if row["stage"] == stage)

    def recovers(self):
        """Run again: the product is what it was, and nothing is left of the fault."""
        done = self()
        assert done.returncode == 0, done.stdout
        assert (self / CUBE).read_bytes() == self.good
        assert not (self / "results/previous").exists()


def test_kill_of_a_job(run):
    with run.held("ingest", "--forcerun", "ingest") as process:
        assert (run / CUBE).read_bytes() == b"half of a product"
        os.kill(int((run / "held").read_text()), signal.SIGKILL)
        status = process.wait()
        text = (run / "held.log").read_text()
    assert status != 0
    assert not (run / CUBE).exists()
    assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
    row = run.state("ingest")
    assert (row["state"], row["previous"]) == ("failed", "results/previous/galaxies/sp1/H/cube.fits")
    assert "killed" in row["reason"] and row["reason"] in text and row["log"] in text
    run.recovers()


def test_kill_of_snakemake(run):
    with run.held("ingest", "--forcerun", "ingest") as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (run / CUBE).read_bytes() == b"half of a product"
    done = run()
    assert done.returncode != 0
    assert "--unlock" in done.stdout
    assert run("--unlock").returncode == 0
    assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
    run.recovers()


def test_two_runs_at_once(run):
    with run.held("ingest", "--forcerun", "ingest") as first:
        second = run("--forcerun", "ingest")
        assert second.returncode != 0
        assert "cannot be locked" in second.stdout
        status, text = run.release(first)
    assert status == 0, text
    assert (run / CUBE).read_bytes() == run.good
    assert run.plan() == {}


def test_edit_of_the_config_during_a_run(run):
    with run.held("ingest", "--forcerun", "ingest") as process:
        run.configure("ingest: {outlier_sigma: 3.0}\n")
        status, text = run.release(process)
    assert status == 0, text
    assert (run / CUBE).read_bytes() == run.good  # of the settings that the run began with, and recorded as such
    assert set(run.plan()) == {"ingest"}


def test_a_step_that_fails_takes_what_depends_on_it_out_of_place(run):
    """Otherwise a run asked for the later product alone would find it there and take it for current."""
    run.configure("simulation: {noise_scale: 2.0}\n")
    with run.held("simulate_galaxy_H") as process:
        os.kill(int((run / "held").read_text()), signal.SIGKILL)
        assert process.wait() != 0
    assert not (run / CUBE).exists()
    assert not (run / RAW).exists()
    assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
    assert run.state("ingest")["previous"].startswith("results/previous/")
    assert {"simulate_galaxy_H", "ingest"} <= set(run.plan())
    run.configure("")
    run.recovers()


def test_what_a_run_for_an_earlier_product_left_out_of_date_is_noticed(run):
    """The run that failed was not asked for the cube, which Snakemake alone would then take for current."""
    run.configure("simulation: {noise_scale: 2.0}\n")
    with run.held("simulate_galaxy_H", target=RAW) as process:
        os.kill(int((run / "held").read_text()), signal.SIGKILL)
        assert process.wait() != 0
    assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
    assert {"simulate_galaxy_H", "ingest"} <= set(run.plan())


def provenance(run, *arguments):
    command = [sys.executable, str(ROOT / "workflow/scripts/provenance.py"), "--directory", str(run.directory)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def test_a_product_altered_by_hand_or_deleted(run):
    assert provenance(run).returncode == 0
    assert provenance(run, "--verify").returncode == 0
    for path in (CUBE, RAW):
        (run / path).write_bytes((run / path).read_bytes()[:-2880] + b"\7" * 2880)
    found = provenance(run, "--verify")
    assert found.returncode == 1
    assert "galaxies/sp1/H/cube.fits was changed after it was made by ingest" in found.stdout
    assert "simulated/cubes/sp1/H.fits was changed" in found.stdout
    assert set(run.plan()) == {"ingest"}  # its input is another one now
    for path in (RAW, CUBE):
        (run / path).unlink()
    run.recovers()


def test_a_clock_step_and_newer_dates(run):
    """Products from the future: unchanged ones make nothing run, and what changes is still noticed and made."""
    future = time.time() + 86400 * 365
    os.utime(run / CUBE, (1, 1))
    os.utime(run / SCENE, (future, future))
    assert run.plan() == {}
    os.utime(run / CUBE, (future, future))
    run.configure("simulation: {noise_scale: 2.0}\n")
    done = run()
    assert done.returncode == 0, done.stdout
    assert (run / CUBE).read_bytes() != run.good
    assert (run / CUBE).stat().st_mtime < future


@contextmanager
def small_disk(place, size):
    """Put the content of a folder on a file system in memory of this size, where that is allowed."""
    content = place.with_name("content")
    place.rename(content)
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "none"]
    mounted = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(content, place, dirs_exist_ok=True, copy_function=shutil.copy2)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk(run):
    # the new cube needs its own room: the old one is kept until the new one is made
    room = used(run / "results") + len(run.good) // 2
    with small_disk(run / "results", room):
        done = run("--forcerun", "ingest")
        assert done.returncode != 0
        log = (run / "logs/ingest/sp1_H.log").read_text()
        assert log.splitlines()[-1].startswith("ERROR: sp1 H: ")
        assert "No space left on device" in log.splitlines()[-1]
        assert log.splitlines()[-1].removeprefix("ERROR: ") in done.stdout
        assert not (run / CUBE).exists()
        assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
        subprocess.run(["mount", "-o", f"remount,size={4 * room}", str(run / "results")], check=True)
        run.recovers()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system that cannot be written")
def test_results_that_cannot_be_written(run):
    with small_disk(run / "results", 4 * used(run / "results")):
        subprocess.run(["mount", "-o", "remount,ro", str(run / "results")], check=True)
        started = time.time()
        done = run("--forcerun", "ingest")
        assert done.returncode != 0
        assert "Write-protected output files" in done.stdout
        assert not (run / "logs/ingest/sp1_H.log").stat().st_mtime > started  # no job was begun
        assert (run / CUBE).read_bytes() == run.good
        subprocess.run(["mount", "-o", "remount,rw", str(run / "results")], check=True)
        run.recovers()


def test_traceback_and_galaxy_are_in_the_log(run):
    """A mistake in the code, not in the input."""
    shutil.copytree(run.code, run / "code")
    run.code = run / "code"
    script = Path(run.code / "workflow/scripts/ingest.py")
    text = script.read_text()
    start = "    from klever.job import run\n"
    script.write_text(text.replace(start, start + "    ingest_cube = 0\n"))
    done = run()
    assert done.returncode != 0
    log = (run / "logs/ingest/sp1_H.log").read_text()
    assert log.startswith("INFO: ingest sp1 H\n")
    assert "Traceback (most recent call last)" in log
    assert log.splitlines()[-1].startswith("ERROR: sp1 H: the step ingest failed unexpectedly (TypeError")
    assert (run / "results/previous/galaxies/sp1/H/cube.fits").read_bytes() == run.good
