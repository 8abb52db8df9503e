"""The line fit's machine code is made once in a run: code compiled by two jobs may differ in the last digits."""

import pytest

pytestmark = pytest.mark.workflow


def test_no_job_compiles_what_the_kernel_lacks(finished):
    made = finished / "results/kernel/compiled.txt"
    later = [
        path.name for path in made.parent.rglob("*.nb?") if path.stat().st_mtime_ns > made.stat().st_mtime_ns
    ]  # fmt: skip
    assert len(list(made.parent.rglob("*.nbc"))) > 10
    assert later == []
