"""What the rules read of Snakemake's inside may be named otherwise in another version: a run goes on and says so."""

import re
from types import SimpleNamespace

import pytest
from survey_runs import ROOT

RULES = (ROOT / "workflow/rules/common.smk").read_text()


def functions(workflow):
    """The functions of common.smk that need Snakemake's inside, with this `workflow`."""
    found = re.findall(r"(?ms)^(?:@needs_internals\([^\n]*\n)?def (?:needs_internals|\w+)\(.*?(?=^\S|\Z)", RULES)
    wanted = [text for text in found if text.startswith(("@needs_internals", "def needs_internals", "def single_jobs"))]
    names = {"workflow": workflow, "SNAKEMAKE_VERSION": "99.0"}
    exec("import functools, sys\n" + "\n".join(wanted), names)
    return names


@pytest.mark.parametrize(
    ("name", "otherwise", "loss"),
    [
        ("needed_jobs", [], "are not kept"),
        ("failed_jobs", [], "the logs do"),
        ("start_jobs_at_once", None, "--max-jobs-per-timespan"),
        ("grow_resources", None, "as much memory and time as before"),
    ],
)
def test_another_snakemake_costs_something_but_breaks_nothing(name, otherwise, loss, capsys):
    assert functions(SimpleNamespace())[name]() == otherwise
    told = capsys.readouterr().err
    assert told.startswith("Snakemake 99.0 is not as klever knows it (")
    assert loss in told
    assert len(told.splitlines()) == 1


def test_this_snakemake_is_known(capsys):
    """Memory grows with the attempts; a limit of started jobs that the user set stays."""
    from snakemake.resources import Resources
    from snakemake.settings.types import MaxJobsPerTimespan

    step = SimpleNamespace(resources=Resources.from_mapping({"mem_mb": 500, "runtime": 3}))
    settings = SimpleNamespace(max_jobs_per_timespan=MaxJobsPerTimespan(100, "1s"))
    scheduler = SimpleNamespace(job_rate_limiter="limiter")
    names = functions(SimpleNamespace(rules=[step], scheduling_settings=settings, scheduler=scheduler))
    names["grow_resources"]()
    assert [step.resources["mem_mb"]._evaluator(None, attempt) for attempt in (1, 2, 3)] == [500, 1000, 1500]
    names["start_jobs_at_once"]()
    assert scheduler.job_rate_limiter is None
    settings.max_jobs_per_timespan = MaxJobsPerTimespan(5, "1s")
    scheduler.job_rate_limiter = "limiter"
    names["start_jobs_at_once"]()
    assert scheduler.job_rate_limiter == "limiter"
    assert capsys.readouterr().err == ""
