"""Load the configuration of a survey: settings, tables and lens models, checked together.

The Snakefile imports this module at the start of every job, so it needs only yaml, jsonschema and the standard library.
"""

from pathlib import Path

from klever.config.archive import read_archive
from klever.config.exposures import read_exposures
from klever.config.files import Files, check_galaxies, check_observations
from klever.config.lenses import check_images, check_lens_files, read_components, read_lenses
from klever.config.linelists import check_line_lists
from klever.config.schema import Problems, check_yaml, load_schema, read_yaml
from klever.config.settings import CONFIG, check_names, read_settings, value_at
from klever.config.survey import Survey
from klever.config.tables import read_table
from klever.config.targets import check_targets
from klever.errors import ConfigError

__all__ = ["Survey", "check_yaml", "load_survey"]

_TABLES = {"galaxies": "galaxies.tsv", "observations": "observations.tsv", "lenses": "lenses.yaml"}


def load_survey(config, directory, resources, schemas):
    """Return the survey of a folder.

    Parameters
    ----------
    config : dict
        Content of config/config.yaml, as Snakemake merged it with ``--config``; may hold only what differs from the
        defaults.
    directory : pathlib.Path
        The survey folder, which has a ``config/`` with the tables; relative paths in them start at it.
    resources, schemas : pathlib.Path
        The folders ``resources`` and ``workflow/schemas``.

    Returns
    -------
    klever.config.survey.Survey

    Raises
    ------
    ConfigError
        Something is wrong; the message has one line for each problem: file, entry, problem, nearest valid choice.
    """
    directory, resources, schemas = Path(directory), Path(resources), Path(schemas)
    problems = Problems(check_yaml(directory / CONFIG, CONFIG) if (directory / CONFIG).is_file() else [])
    settings = read_settings(config, load_schema(schemas / "config.schema.yaml"), resources, problems)
    tables = settings["tables"] if isinstance(settings["tables"], dict) else {}
    names = {name: tables[name] if isinstance(tables.get(name), str) else file for name, file in _TABLES.items()}
    labels = {name: f"config/{file}" for name, file in names.items()}
    rows, lenses = _read_tables(directory / "config", names, labels, schemas, problems)
    instruments = read_yaml(resources / "instruments.yaml", "resources/instruments.yaml", problems) or {}

    downloads = read_archive(settings, directory, schemas, problems)
    files = Files(directory, problems, downloads)
    excluded = settings["exclude"] if isinstance(settings["exclude"], list) else []
    check_line_lists(settings, excluded, files, resources)
    check_targets(settings, instruments, files)
    ids = None if rows["galaxies"] is None else [row.cells["galaxy"] for row in rows["galaxies"] if row.cells["galaxy"]]
    known = None if ids is None else dict.fromkeys(ids)
    every = check_galaxies(rows["galaxies"] or [], labels["galaxies"], lenses, problems)
    observed = check_observations(
        rows["observations"] or [], labels["observations"], known, instruments, excluded, files
    )
    check_names(settings, ids, {name: list(bands) for name, bands in observed.items()}, instruments, problems)
    _check_complete(rows, observed, labels, problems)
    pointings = read_exposures(settings, directory, schemas, observed, problems)
    galaxies = {name: entry for name, entry in every.items() if name not in excluded}
    if every and not galaxies:
        problems.add(CONFIG, "exclude", "leaves no galaxy; take at least one out of the list.")

    observed = {name: observed[name] for name in galaxies if name in observed}
    simulated = [name for name, bands in observed.items() if any(entry["cube"] is None for entry in bands.values())]
    used = {entry["lens"] for entry in galaxies.values()}
    lenses = check_lens_files(lenses or {}, used, labels["lenses"], files, resources)
    filters = {name: _image_filter(settings, name) for name in observed}
    check_images(lenses, galaxies, simulated, filters, labels["lenses"], files)
    components = read_components(resources / "simulation/galaxies.tsv", labels["observations"], simulated, problems)
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError("\n".join([f"The configuration has {count}:", *problems]))
    return Survey(directory, settings, galaxies, observed, lenses, components, downloads, pointings)


def _read_tables(folder, names, labels, schemas, problems):
    """Return the rows of the two tables (None if one cannot be read) and the lens models."""
    schema = {name: load_schema(schemas / f"{name}.schema.yaml") for name in names}
    rows = {
        name: read_table(folder / names[name], labels[name], schema[name], problems)
        for name in ("galaxies", "observations")
    }
    return rows, read_lenses(folder / names["lenses"], labels["lenses"], schema["lenses"], problems)


def _check_complete(rows, observed, labels, problems):
    """Report a table without galaxies, and galaxies without observations."""
    if rows["galaxies"] == []:
        problems.add(labels["galaxies"], "", "has no galaxies; give each one a row.")
    if rows["galaxies"] is None or rows["observations"] is None:
        return
    for row in rows["galaxies"]:
        if row.good("galaxy") and row.cells["galaxy"] not in observed:
            text = f"has no row in {labels['observations']}; add its cubes there or remove it here."
            problems.add(labels["galaxies"], row.where, text)


def _image_filter(settings, galaxy):
    """Return where the galaxy's ``align.image_filter`` is written, and its value."""
    overrides = settings["overrides"] if isinstance(settings["overrides"], dict) else {}
    own = value_at(overrides.get(galaxy), "align.image_filter")
    if own is not None:
        return f"overrides.{galaxy}.align.image_filter", own
    return "align.image_filter", value_at(settings, "align.image_filter")
