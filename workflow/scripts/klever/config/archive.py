"""The section ``acquire`` of config.yaml and the table of files that archives are asked for."""

from pathlib import PurePosixPath

from klever.archive.sources import check_source
from klever.config.schema import load_schema
from klever.config.tables import read_table

__all__ = ["FOLDER", "read_archive"]

FOLDER = "archive"  # of the survey: where downloaded files are
_CONFIG = "config/config.yaml"


def read_archive(settings, directory, schemas, problems):
    """Return the files to download by their path in the survey folder; none if ``acquire.enabled`` is false.

    Parameters
    ----------
    settings : dict
        From `klever.config.settings.read_settings`.
    directory, schemas : pathlib.Path
        The survey folder; ``workflow/schemas``.
    problems : klever.config.schema.Problems
        Receives the messages.

    Returns
    -------
    dict of str to dict
        ``source``, ``size`` and ``sha256`` (None where the table has none).
    """
    options = settings["acquire"] if isinstance(settings["acquire"], dict) else {}
    name = options.get("table")
    if options.get("enabled") is not True or not isinstance(name, str):
        return {}
    label = f"config/{name}"
    if not (directory / "config" / name).is_file():
        problems.add(_CONFIG, "acquire.table", f"{label} does not exist; write the files to download into it.")
        return {}
    files, lines = {}, {}
    for row in (
        read_table(directory / "config" / name, label, load_schema(schemas / "archive.schema.yaml"), problems) or []
    ):
        path, source = row.cells["file"], row.cells["source"]
        if not row.good("file", "source"):
            continue
        if ".." in PurePosixPath(path).parts:
            problems.add(label, f"{row.where}: file", f"{path!r} leaves the folder {FOLDER}/; take out the '..'.")
        elif path in files:
            problems.add(label, f"{row.where}: file", f"{path!r} is there twice (first on line {lines[path]}).")
        elif problem := check_source(source):
            problems.add(label, f"{row.where}: source", problem)
        else:
            size = row.cells["size"]
            files[path], lines[path] = {
                "source": source, "size": None if size in (None, "-") else int(size),
                "sha256": None if row.cells["sha256"] == "-" else row.cells["sha256"],
            }, row.line  # fmt: skip
    return {f"{FOLDER}/{path}": entry for path, entry in files.items()}
