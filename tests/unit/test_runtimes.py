"""Resource use by rule: sums, extremes, and files that are no benchmarks."""

import numpy as np
import pytest
from astropy.table import Table

from klever.publish.runtimes import collect_runtimes, write_runtimes

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def benchmarks(tmp_path):
    def put(name, wall, memory, cpu):
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEAD}{wall}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t{cpu}\n")
        return path

    put("lines/sp1_H.tsv", 2.0, 100.0, 1.5)
    put("lines/sp1_K.tsv", 8.0, 90.0, 7.0)
    put("lines/sp2_H.tsv", 3.0, "NA", "NA")
    put("audit.tsv", 20.0, 400.0, 4.0)
    put("tiny/sp1.tsv", 0.1, "-", 0.1)
    return tmp_path / "benchmarks"


def test_jobs_are_summed_and_the_longest_rule_comes_first(benchmarks):
    rows = collect_runtimes(benchmarks)
    assert [row["rule"] for row in rows] == ["audit", "lines", "tiny"]
    lines = rows[1]
    assert (lines["jobs"], lines["wall"], lines["cpu"]) == (3, 13.0, 8.5)
    assert (lines["wall_median"], lines["wall_longest"], lines["slowest"]) == (3.0, 8.0, "sp1_K")
    assert (lines["memory_largest"], lines["largest"]) == (100.0, "sp1_H")
    assert rows[0]["slowest"] == ""


def test_a_job_too_short_to_be_sampled_has_no_memory(benchmarks, tmp_path):
    assert np.isnan(collect_runtimes(benchmarks)[2]["memory_largest"])
    assert write_runtimes(benchmarks, tmp_path / "runtimes.ecsv") == 3
    table = Table.read(tmp_path / "runtimes.ecsv")
    assert table["memory_largest"].mask.tolist() == [False, False, True]
    assert str(table["wall"].unit) == "s"
    assert all(table[name].info.description for name in table.colnames)


@pytest.mark.parametrize("text", ["", HEAD, "s\tcpu_time\nabc\t1\n", "\x00\x01", "s\tmax_rss\n1\t2\n"])
def test_what_is_no_benchmark_is_left_out(benchmarks, text):
    (benchmarks / "lines/broken.tsv").write_text(text)
    assert collect_runtimes(benchmarks)[1]["jobs"] == 3


def test_a_run_without_benchmarks_has_an_empty_table(tmp_path):
    assert collect_runtimes(tmp_path / "none") == []
    write_runtimes(tmp_path / "none", tmp_path / "runtimes.ecsv")
    assert len(Table.read(tmp_path / "runtimes.ecsv")) == 0
