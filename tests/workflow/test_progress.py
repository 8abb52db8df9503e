"""What a long run shows: jobs done of all and the time left."""

import os
import re
import subprocess
import sys

import pytest
from survey_runs import ROOT

pytestmark = pytest.mark.workflow


def test_progress_counts_jobs_and_time_where_no_bar_can_be_drawn(tmp_path):
    (tmp_path / "Snakefile").write_text(
        'rule all:\n    input: expand("{i}.txt", i=range(5))\n\n'
        'rule make:\n    output: "{i}.txt"\n    shell: "touch {output}"\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/progress")}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "klever"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = re.findall(r"(\d+) of 6 jobs done, \d+:\d\d elapsed, about \d+:\d\d left", done.stdout + done.stderr)
    assert counts == ["1", "2", "3", "4", "5", "6"]
