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


@pytest.fixture
def internals(monkeypatch):
    """What `remember_answers` replaces, put back afterwards."""
    from snakemake import common, rules, script, sourcecache

    for module, name in ((common, "get_function_params"), (rules, "get_function_params"), (sourcecache, "parse_uri")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(script, "get_source", script.get_source)
    return SimpleNamespace(common=common, rules=rules, script=script, sourcecache=sourcecache, monkeypatch=monkeypatch)


def test_answers_are_remembered_and_the_same(internals, tmp_path):
    (tmp_path / "step.py").write_text("print(1)\n")
    opened = []

    class Cache:
        def open(self, source):
            opened.append(source)
            return (tmp_path / "step.py").open()

        def get_path(self, source):
            return str(source)

    def files(wildcards, attempt):
        return []

    def ask(path):
        source = internals.script.get_source(path, Cache(), None, {"name": "step"}, {})
        return [str(part) for part in source], list(internals.common.get_function_params(files))

    expected = ask(str(tmp_path / "step.py")), ask(str(tmp_path / "{wildcards[name]}.py"))
    assert expected[0] == expected[1] and expected[0][1] == ["wildcards", "attempt"]
    functions(SimpleNamespace())["remember_answers"]()
    opened.clear()
    for _ in range(3):
        assert ask(str(tmp_path / "step.py")) == expected[0]
    assert len(opened) == 1
    for _ in range(3):
        assert ask(str(tmp_path / "{wildcards[name]}.py")) == expected[1]
    assert len(opened) == 4
    assert internals.rules.get_function_params is internals.common.get_function_params


def test_nothing_is_remembered_of_another_snakemake(internals, capsys):
    kept = internals.script.get_source
    internals.monkeypatch.delattr(internals.common, "get_function_params")
    assert functions(SimpleNamespace())["remember_answers"]() is None
    assert "planning takes longer" in capsys.readouterr().err
    assert internals.script.get_source is kept
