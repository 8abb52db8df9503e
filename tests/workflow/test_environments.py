"""Each rule's conda environment: what its script needs, nothing else, in the versions that pip installs."""

import ast
import re
import subprocess
import sys

import pytest
import rattler
import yaml
from environments import ROOT, SCRIPTS, STEPS, differences, guarded, pins, specifications

LOCK = pins("requirements-lock.txt")
# Under another licence, for those who install it themselves; the module that imports it says so.
EXTRAS = {"powerbin"}


def test_every_environment_belongs_to_a_step():
    assert sorted(path.stem for path in (ROOT / "envs").glob("*.yaml")) == STEPS


@pytest.mark.parametrize("rule", STEPS)
def test_environment_names_exactly_what_the_script_imports(rule):
    assert differences(ROOT / f"envs/{rule}.yaml", SCRIPTS / f"{rule}.py") == ([], [])


@pytest.mark.parametrize("rule", STEPS)
def test_environment_is_of_conda_forge_with_the_versions_of_pip(rule):
    environment = yaml.safe_load((ROOT / f"envs/{rule}.yaml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda, pip = specifications(ROOT / f"envs/{rule}.yaml")
    for text in conda:
        # strict: otherwise "astro py" would be the package astro in the version py
        specification = rattler.MatchSpec(text, strict=True)
        name, _, version = text.partition("=")
        assert rattler.PackageName(name).normalized == name
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)
        assert str(specification.version) == f"{version}.*"
        assert (specification.build, specification.channel) == (None, None)
        pinned = "3.11" if name == "python" else LOCK[name.removesuffix("-base")]
        assert version == pinned, f"{rule}: {name} {version} is not the pinned one"
        assert version.count(".") >= 1
    for text in pip:
        name, _, version = text.partition("==")
        assert version == LOCK[name]
    assert pip == sorted(pip)


def test_pins_of_pip_agree():
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-stellar.txt"):
        for package, version in pins(name).items():
            assert LOCK[package] == version, f"{name}: {package}"


def test_no_import_hides_from_the_walk():
    """Names that are put together at run time cannot be found; those given as text are known."""
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
                assert {ast.literal_eval(argument) for argument in node.args} <= EXTRAS, path


def test_a_package_too_few_or_too_many_is_found(tmp_path):
    """The walk goes through the modules that a script imports, inside functions too."""
    (tmp_path / "klever").mkdir()
    (tmp_path / "klever/__init__.py").touch()
    (tmp_path / "klever/deep.py").write_text("def late():\n    from sklearn import svm\n    return svm\n")
    script = tmp_path / "step.py"
    script.write_text("import numpy as np\nfrom klever import deep\n")
    environment = tmp_path / "step.yaml"
    environment.write_text("dependencies:\n  - python=3.11\n  - numpy=2.4.6\n  - pandas=3.1.1\n")
    assert differences(environment, script) == (["scikit-learn"], ["pandas"])


@pytest.mark.workflow
def test_a_job_sees_only_what_its_environment_brings(tmp_path):
    """The guard under which the tests' survey runs; here the script of a rule imports what its environment lacks."""
    script = tmp_path / "scripts/tmp1.detection_tables.py"
    script.parent.mkdir()
    script.write_text(
        "import importlib.util, sys\nimport numpy, astropy, yaml\n"
        "print([name for name in ('numpy', 'lenstronomy', 'emcee') if importlib.util.find_spec(name)])\n"
        "import emcee\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], env=guarded(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.stdout == "['numpy']\n"
    assert "No module named 'emcee'" in done.stderr
