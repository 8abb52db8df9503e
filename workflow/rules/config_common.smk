# Before Snakemake reads the settings: it goes through what anchors and aliases stand for, even thousands of millions.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.append(str(Path(str(workflow.current_basedir)).parent / "scripts"))

from klever.config.schema import Problems, read_yaml


def check_settings_can_be_read(path="config/config.yaml"):
    """Raise a WorkflowError if the file is no YAML, or one that would take hours to read."""
    problems = Problems()
    if Path(path).is_file() and read_yaml(path, path, problems) is None:
        raise WorkflowError("\n".join(problems))


check_settings_can_be_read()
