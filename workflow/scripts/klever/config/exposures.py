"""The section ``reduce`` of config.yaml and the table of exposures: pointings whose cubes the workflow makes itself."""

from klever.config.schema import load_schema, nearest
from klever.config.survey import matches
from klever.config.tables import read_table

__all__ = ["SIMULATED_EXPOSURES", "read_exposures"]

SIMULATED_EXPOSURES = 12  # an A-B-A sequence of one hour: 8 on the targets
_COLUMNS = (
    "pointing", "band", "instrument", "exposures", "standard", "galaxies", "stars", "temperature", "magnitude",
)  # fmt: skip
_CONFIG = "config/config.yaml"
_BANDS = {"KMOS": ("YJ", "H", "K"), "SINFONI": ("J", "H", "K")}


def read_exposures(settings, directory, schemas, observed, problems):
    """Return the pointings to reduce; none if ``reduce.start`` is cubes.

    Parameters
    ----------
    settings : dict
        From `klever.config.settings.read_settings`.
    directory, schemas : pathlib.Path
        The survey folder; ``workflow/schemas``.
    observed : dict of str to dict
        Bands of each galaxy, from observations.tsv.
    problems : klever.config.schema.Problems
        Receives the messages.

    Returns
    -------
    dict of (str, str) to dict
        By pointing and band: ``instrument``, ``exposures`` and ``standard`` (paths, None if simulated; ``standard`` may
        be empty), ``galaxies``, ``stars`` (targets of the arms; none of SINFONI), ``temperature`` (K) and ``magnitude``
        of the standard star.
    """
    options = settings["reduce"] if isinstance(settings["reduce"], dict) else {}
    name = options.get("table")
    if options.get("start") != "exposures" or not isinstance(name, str):
        return {}
    label, path = f"config/{name}", directory / "config" / name
    if not path.is_file():
        problems.add(_CONFIG, "reduce.table", f"{label} does not exist; write the pointings into it.")
        return {}
    pointings, owner = {}, {}
    for row in read_table(path, label, load_schema(schemas / "exposures.schema.yaml"), problems) or []:
        if not row.good(*_COLUMNS):
            continue
        key = (row.cells["pointing"], row.cells["band"])
        if key in pointings:
            problems.add(label, row.where, f"pointing {key[0]} has band {key[1]} twice; leave one of them.")
            continue
        entry = _entry(row, label, directory, problems)
        for galaxy in entry["galaxies"]:
            _check_galaxy(galaxy, key, entry["instrument"], observed, owner, label, row.where, problems)
        pointings[key] = entry
    if not pointings and not problems:
        problems.add(label, "", "has no pointings; give each band of each pointing a row.")
    return pointings


def _entry(row, label, directory, problems):
    cells = row.cells
    entry = {name: _names(cells[name]) for name in ("galaxies", "stars")} | {"instrument": cells["instrument"]}
    entry |= {"temperature": float(cells["temperature"]), "magnitude": float(cells["magnitude"])}
    for kind in ("exposures", "standard"):
        text = cells[kind]
        if text == "simulated":
            entry[kind] = None
        elif text == "-":
            entry[kind] = []
        else:
            entry[kind] = matches(text, directory)
            if not entry[kind]:
                problems.add(label, f"{row.where}: {kind}", f"no file matches {text!r}; correct the pattern.")
    if (entry["exposures"] is None) != (entry["standard"] is None):
        problems.add(label, row.where, "exposures and standard must both be simulated, or neither.")
    _check_instrument(entry, cells["band"], label, row.where, problems)
    if entry["exposures"] == [] and cells["exposures"] == "-":
        problems.add(label, f"{row.where}: exposures", "is empty; give a pattern of files, or simulated.")
    return entry


def _names(text):
    """Names of a cell, commas between them; - stands for none."""
    return [] if text == "-" else [part.strip() for part in text.split(",")]


def _check_instrument(entry, band, label, where, problems):
    """Report a band that the instrument lacks, and what only one of the two instruments has."""
    instrument, galaxies, stars = (entry[name] for name in ("instrument", "galaxies", "stars"))
    if band not in _BANDS[instrument]:
        problems.add(
            label, f"{where}: band", f"{instrument} has no band {band}; its bands are {', '.join(_BANDS[instrument])}."
        )
    if not galaxies:
        problems.add(label, f"{where}: galaxies", "is empty; name the galaxy, or the targets of the arms.")
    if instrument == "KMOS" and not stars:
        text = "is empty; name the targets of the arms on alignment stars, one per detector."
        problems.add(label, f"{where}: stars", text)
    if instrument == "KMOS" and (both := sorted(set(stars) & set(galaxies))):
        problems.add(
            label, f"{where}: stars", f"{both[0]!r} is a galaxy of the pointing, too; correct one of the columns."
        )
    if instrument == "SINFONI" and stars:
        problems.add(label, f"{where}: stars", "SINFONI has one field and no alignment stars; write -.")
    if instrument == "SINFONI" and len(galaxies) > 1:
        problems.add(label, f"{where}: galaxies", f"SINFONI has one field: give {', '.join(galaxies)} a row each.")


def _check_galaxy(galaxy, key, instrument, observed, owner, label, where, problems):
    """Report a galaxy that the survey does not have, or not in this band of the instrument, or in two pointings."""
    pointing, band = key
    if galaxy not in observed:
        problems.add(label, f"{where}: galaxies", f"the survey has no galaxy {galaxy!r}{nearest(galaxy, observed)}")
    elif band not in observed[galaxy]:
        text = f"{galaxy} has no band {band!r} in the table of observations{nearest(band, observed[galaxy])}"
        problems.add(label, f"{where}: galaxies", text)
    elif observed[galaxy][band]["instrument"] != instrument:
        own = observed[galaxy][band]["instrument"]
        text = f"{galaxy} {band} is of {own} in the table of observations, not of {instrument}; correct one of them."
        problems.add(label, f"{where}: galaxies", text)
    if owner.setdefault((galaxy, band), pointing) != pointing:
        text = f"{galaxy} {band} is in the pointings {owner[galaxy, band]} and {pointing}; a cube comes from one."
        problems.add(label, f"{where}: galaxies", text)
