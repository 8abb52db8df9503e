"""Check lenses.yaml, the maps and images it names, and what the simulation needs to know of lenses and galaxies."""

import re

from klever.config.messages import check
from klever.config.schema import NUMBER, complete, nearest, read_yaml
from klever.config.survey import SIMULATED_FILTERS, matches

__all__ = ["check_images", "check_lens_files", "read_components", "read_lenses"]

# Keys of an entry that only lenses of some origins have.
_ORIGINS = {
    **dict.fromkeys(("x_deflection", "y_deflection", "kappa", "gamma", "deflection_unit", "x_sign", "y_sign",
                     "realisations"), ("maps",)),
    "normalisation": ("maps", "parametric", "fit_arc"),
    "model": ("lenstool",), "reference_magnitude": ("lenstool",), "cosmology": ("lenstool",),
    "chain": ("lenstool", "parametric"), "radius": ("lenstool", "parametric", "fit_images", "fit_arc"),
    "seed": ("simulated",), "scatter": ("simulated",),
    "centre": ("parametric", "fit_images", "fit_arc"), "x_axis": ("parametric",), "profiles": ("parametric",),
    **dict.fromkeys(("multiple_images", "members", "member_cut"), ("fit_images",)),
    **dict.fromkeys(("arc_image", "arc_error", "arc_fit"), ("fit_arc",)),
}  # fmt: skip
_FILES = {
    "x_deflection": "lens map", "y_deflection": "lens map", "kappa": "lens map", "gamma": "lens map",
    "model": "lens model", "chain": "table of samples",
    "multiple_images": "table of multiple images", "members": "table of cluster members",
    "arc_image": "image", "arc_error": "image of errors",
}  # fmt: skip
_TEXT_COLUMNS = {"galaxy", "component", "source_name", "source", "note"}


def read_lenses(path, label, schema, problems):
    """Return the lens models by name; None if the file cannot be read."""
    lenses = read_yaml(path, label, problems)
    if lenses is not None and not isinstance(lenses, dict):
        example = "`ms2137: {z_lens: 0.313, origin: simulated}`"
        problems.add(label, "", f"must hold lens models by name, for example {example}.")
        return None
    if lenses is None:
        return None
    lenses = complete(lenses, schema)
    lenses = {name: {} if name == "none" and entry is None else entry for name, entry in lenses.items()}
    if not lenses.get("none"):
        lenses.pop("none", None)
    check(lenses, schema, label, problems)
    for name, entry in lenses.items():
        _check_keys(entry, label, name, problems)
        _check_alternatives(name, entry, label, problems)
        source = entry.get("normalisation") if isinstance(entry, dict) else None
        z_source, z_lens = (source.get("z_source"), entry.get("z_lens")) if isinstance(source, dict) else (None, None)
        if isinstance(z_source, float) and isinstance(z_lens, float) and z_source <= z_lens:
            text = f"{z_source:g} is not behind the lens (z_lens {z_lens:g})."
            problems.add(label, f"{name}.normalisation.z_source", text)
    return lenses


def _check_keys(entry, label, name, problems):
    """Report keys that belong to another origin than the entry's, and errors of parameters that are not given."""
    if not isinstance(entry, dict):
        return
    origin = entry.get("origin")
    if isinstance(origin, str) and origin in {"simulated", "maps", "lenstool", "parametric", "fit_images", "fit_arc"}:
        for key in entry:
            if origin not in _ORIGINS.get(key, (origin,)):
                owners = " or ".join(f"`origin: {owner}`" for owner in _ORIGINS[key])
                problems.add(label, f"{name}.{key}", f"belongs to lenses of {owners}; remove it or change the origin.")
    profiles = entry.get("profiles")
    for i, profile in enumerate(profiles if isinstance(profiles, list) else []):
        errors = profile.get("errors") if isinstance(profile, dict) else None
        for key in errors if isinstance(errors, dict) else ():
            if key not in profile:
                text = f"the profile has no {key} to draw around"
                given = [other for other in profile if other not in ("type", "errors")]
                problems.add(label, f"{name}.profiles[{i}].errors.{key}", text + nearest(key, given))


def _check_alternatives(name, entry, label, problems):
    """Report what alternatives of a lens cannot have, and keys of simulated ones that the lens itself has."""
    if not isinstance(entry, dict):
        return
    for key in ("seed", "scatter"):
        if key in entry:
            problems.add(label, f"{name}.{key}", "belongs to an entry of `alternatives`; remove it.")
    alternatives = entry.get("alternatives")
    for other, model in alternatives.items() if isinstance(alternatives, dict) else ():
        where = f"{name}.alternatives.{other}"
        _check_keys(model, label, where, problems)
        if not isinstance(model, dict):
            continue
        if model.get("origin") in ("fit_images", "fit_arc"):
            problems.add(label, f"{where}.origin", f"is {model['origin']}, which only the lens itself can be.")
        for key in ("alternatives", "images"):
            if key in model:
                problems.add(label, f"{where}.{key}", "belongs to the lens itself; remove it.")
        if model.get("origin") != "simulated":
            continue
        if entry.get("origin") != "simulated":
            problems.add(label, f"{where}.origin", "is simulated, but the lens is not; name the files of a model.")
        elif "seed" not in model:
            problems.add(label, f"{where}.seed", "is missing; a simulated alternative needs one.")


def check_lens_files(lenses, used, label, files, resources):
    """Return the lens models with expanded paths; the maps of those in use must exist.

    Parameters
    ----------
    lenses : dict
        From `read_lenses`.
    used : collection of str
        Lenses of the galaxies in the run.
    label : str
        How messages name lenses.yaml.
    files : klever.config.files.Files
        Checks the paths.
    resources : pathlib.Path
        The folder ``resources``; its ``simulation/lenses.yaml`` says which lenses can be simulated.
    """
    result = {}
    for name, entry in lenses.items():
        entry = dict(entry) if isinstance(entry, dict) else {}
        result[name] = entry
        if name not in used:
            continue
        if isinstance(entry.get("alternatives"), dict):
            entry["alternatives"] = {
                other: _with_files(dict(model), label, f"{name}.alternatives.{other}", files)
                for other, model in entry["alternatives"].items()
                if isinstance(model, dict)
            }
        if entry.get("origin") == "simulated":
            known = _simulated_names(resources / "simulation/lenses.yaml")
            if known and name not in known:
                text = "resources/simulation/lenses.yaml does not say how to simulate it"
                files.problems.add(label, name, text + nearest(name, known))
            continue
        result[name] = _with_files(entry, label, name, files)
    return result


def _with_files(entry, label, where, files):
    """Expand the paths of a model in place and return it; its files must exist."""
    for key, what in _FILES.items():
        if isinstance(entry.get(key), str):
            entry[key] = files.existing(entry[key], label, f"{where}.{key}", what) or entry[key]
    if isinstance(entry.get("realisations"), dict):
        entry["realisations"] = _realisations(entry["realisations"], label, f"{where}.realisations", files)
    return entry


def _realisations(patterns, label, entry, files):
    """Return the expanded patterns; each must match files, as many for the convergence as for the shear."""
    written = {key: value for key, value in patterns.items() if isinstance(value, str)}
    found = {key: files.existing_set(value, label, f"{entry}.{key}") for key, value in written.items()}
    if found.get("kappa") and found.get("gamma"):
        kappa, gamma = (len(matches(found[key], files.directory, files.promised)) for key in ("kappa", "gamma"))
        if kappa != gamma:
            text = f"{kappa} maps of the convergence and {gamma} of the shear match; each realisation needs both."
            files.problems.add(label, entry, text)
    return {key: value or written[key] for key, value in found.items()}


def _simulated_names(path):
    """Names at the left margin of the simulation's lens file, which is too long to parse at every start."""
    if not path.is_file():
        return []
    return re.findall(r"^([A-Za-z0-9][A-Za-z0-9_-]*):", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def check_images(lenses, galaxies, simulated, filters, label, files):
    """Expand the images of the lenses; those of the galaxies in the run must exist.

    Parameters
    ----------
    lenses : dict
        From `check_lens_files`; its images are replaced by expanded paths.
    galaxies : dict of str to dict
        The galaxies in the run.
    simulated : collection of str
        Those whose cubes, and so images, are simulated.
    filters : dict of str to (str, str)
        Entry of the config and ``align.image_filter`` of each galaxy.
    label : str
        How messages name lenses.yaml.
    files : klever.config.files.Files
        Checks the paths.
    """
    for name, entry in lenses.items():
        images = entry.get("images")
        if not isinstance(images, dict):
            continue
        of_lens = [galaxy for galaxy, row in galaxies.items() if row["lens"] == name and galaxy not in simulated]
        entry["images"] = {}
        for image_filter, path in images.items():
            if not (isinstance(path, str) and of_lens):
                continue
            where = f"{name}.images.{image_filter}"
            expanded = files.expanded(path, label, where)
            entry["images"][image_filter] = expanded or path
            for galaxy in of_lens if expanded and "{galaxy}" in expanded else of_lens[: bool(expanded)]:
                about = f"{where} ({galaxy})" if "{galaxy}" in expanded else where
                files.existing(expanded.replace("{galaxy}", galaxy), label, about, "image")
    for galaxy, (entry, image_filter) in filters.items():
        lens = galaxies[galaxy]["lens"]
        images = SIMULATED_FILTERS if galaxy in simulated else lenses.get(lens, {}).get("images")
        if not (isinstance(images, dict | tuple) and isinstance(image_filter, str) and image_filter[:1] == "F"):
            continue  # reported by the schema
        if images and image_filter not in images:
            kind = "the simulation" if galaxy in simulated else f"the lens {lens}"
            text = f"{kind} has no image in {image_filter}{nearest(image_filter, images)}"
            files.problems.add("config/config.yaml", entry, text)


def read_components(path, label, simulated, problems):
    """Return the rows of resources/simulation/galaxies.tsv of each simulated galaxy, numbers as numbers.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    label : str
        How messages name observations.tsv, where galaxies are marked as simulated.
    simulated : list of str
        Galaxies to simulate.
    problems : klever.config.schema.Problems
        Receives the messages.
    """
    if not simulated or not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip() and line[0] != "#"]
    header, *table = [[cell.strip() for cell in line.split("\t")] for line in lines]
    components = {}
    for cells in table:
        row = dict(zip(header, cells, strict=False))
        number = {key: float(cell) for key, cell in row.items() if key not in _TEXT_COLUMNS and NUMBER.fullmatch(cell)}
        flags = {"agn": row["agn"] == "yes"} if "agn" in row else {}
        components.setdefault(row["galaxy"], []).append(row | number | flags)
    for name in simulated:
        if name not in components:
            text = "cannot be simulated: resources/simulation/galaxies.tsv does not describe it"
            problems.add(label, name, text + nearest(name, components))
    return {name: components[name] for name in simulated if name in components}
