"""The survey as the workflow sees it: galaxies, cubes, lens models and settings as plain Python values."""

import bisect
import copy
import fnmatch
import functools
import glob
import re
from pathlib import Path

from klever.config.schema import nearest
from klever.errors import ConfigError

__all__ = ["SIMULATED_FILTERS", "Survey", "merged", "simulated_lens"]

SIMULATED_FILTERS = ("F435W", "F606W", "F814W", "F105W", "F125W", "F140W", "F160W")
_NO_MODEL = {
    "arc_error": None, "arc_fit": None, "arc_image": None,
    "centre": None, "chain": None, "cosmology": None, "deflection_unit": None, "gamma": None, "images": {},
    "kappa": None, "member_cut": None, "members": None, "model": None, "multiple_images": None,
    "normalisation": None, "origin": "none", "profiles": None, "radius": None,
    "range_directory": None, "realisations": None, "reference_magnitude": None, "x_axis": None, "x_deflection": None,
    "x_sign": None, "y_deflection": None, "y_sign": None, "z_lens": None,
}  # fmt: skip


def merged(settings, override):
    """Return `settings` with `override` put over it: sections merged key by key, lists and values replaced."""
    result = dict(settings)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def simulated_lens(name):
    """Return the maps of a lens that the workflow simulates, as an entry of lenses.yaml with ``origin: maps`` has them.

    Parameters
    ----------
    name : str
        The lens. RXJ2248 is a Frontier Field, the others have the file names of CLASH.
    """
    folder = f"results/simulated/lenses/{name}"
    programme = "frontier" if name == "rxj2248" else "clash"
    start = f"{folder}/hlsp_{programme}_model_{name}_simulated_v1_"
    return {
        "x_deflection": f"{start}x-arcsec-deflect.fits", "y_deflection": f"{start}y-arcsec-deflect.fits",
        "kappa": f"{start}kappa.fits", "gamma": f"{start}gamma.fits", "deflection_unit": "arcsec", "normalisation": 1.0,
        "x_sign": 1, "y_sign": 1, "range_directory": f"{folder}/range",
        "realisations": {"kappa": f"{folder}/range/*map*_kappa.fits", "gamma": f"{folder}/range/*map*_gamma.fits"},
    }  # fmt: skip


def fitted_cluster(name):
    """Return the products of the fit to a cluster's multiple images, as an entry of lenses.yaml names its files."""
    return {"model": f"results/lenses/{name}/cluster_fit.ecsv", "chain": f"results/lenses/{name}/cluster_samples.ecsv"}


def fitted_galaxy_lens(name):
    """Return the products of the fit to the image of an arc, as an entry of lenses.yaml names its files."""
    return {"model": f"results/lenses/{name}/fit.ecsv", "chain": f"results/lenses/{name}/fit_samples.ecsv"}


def simulated_alternative(lens, name):
    """Return the maps of a simulated alternative model of a lens, as `simulated_lens` does."""
    folder = f"results/simulated/alternatives/{lens}"
    maps = {key: f"{folder}/{name}_{key}.fits" for key in ("x_deflection", "y_deflection", "kappa", "gamma")}
    return maps | {
        "deflection_unit": "arcsec", "normalisation": 1.0, "x_sign": 1, "y_sign": 1, "alternatives_directory": folder,
    }  # fmt: skip


class Survey:
    """A validated survey; made by `klever.config.loading.load_survey`.

    Everything returned is made of plain dicts, lists, numbers and text with sorted keys, so its ``repr`` changes only
    with its content. Thousands of jobs share it: it is not to be changed.

    Parameters
    ----------
    directory : pathlib.Path
        The survey folder, where relative paths start.
    settings : dict
        config.yaml with all defaults.
    galaxies : dict of str to dict
        Rows of galaxies.tsv without the excluded galaxies.
    observations : dict of str to dict of str to dict
        Rows of observations.tsv by galaxy and band.
    lenses : dict of str to dict
        Entries of lenses.yaml.
    components : dict of str to list of dict
        What the simulated galaxies are made of.
    downloads : dict of str to dict, optional
        Files that the run downloads, by path: ``source``, ``size`` and ``sha256``.
    pointings : dict of (str, str) to dict, optional
        Pointings to reduce, by name and band (`klever.config.exposures.read_exposures`).
    """

    def __init__(self, directory, settings, galaxies, observations, lenses, components, downloads=None, pointings=None):
        self.directory = Path(directory)
        self.galaxies = list(galaxies)
        self._settings = _sorted(settings)
        self._galaxies = _sorted_rows(galaxies)
        self._observations = {name: _sorted_rows(rows) for name, rows in observations.items()}
        self._lenses = lenses
        self._components = _sorted_rows(components)
        self._downloads = _sorted_rows(downloads or {})
        self._pointings = _sorted_rows(pointings or {})
        self._own_settings = {}
        self._lens_models = {}

    def _of(self, table, galaxy):
        if galaxy not in self._galaxies:
            raise ConfigError(f"The survey has no galaxy {galaxy!r} (or excludes it){nearest(galaxy, self.galaxies)}")
        return table[galaxy]

    def galaxy(self, galaxy):
        """Return dec, include (does it enter metallicities?), lens, name, note, ra and z of a galaxy (deg)."""
        return self._of(self._galaxies, galaxy)

    def bands(self, galaxy):
        """Return the bands of a galaxy in the order of observations.tsv."""
        return list(self._of(self._observations, galaxy))

    def observation(self, galaxy, band):
        """Return the row of a band.

        Returns
        -------
        dict
            cube (None if simulated), extension (int, str or None), instrument, psf_fwhm (arcsec), resolution (None for
            that of the instrument) and unit.
        """
        bands = self._of(self._observations, galaxy)
        if band not in bands:
            raise ConfigError(f"{galaxy} has no band {band!r}{nearest(band, bands)}")
        return bands[band]

    def instrument(self, galaxy):
        """Return the instrument of the galaxy's first band."""
        return next(iter(self._of(self._observations, galaxy).values()))["instrument"]

    def simulated(self, galaxy):
        """Return whether any cube of the galaxy is simulated, and so its image and its lens."""
        return any(entry["cube"] is None for entry in self._of(self._observations, galaxy).values())

    def simulated_components(self, galaxy):
        """Return the rows of resources/simulation/galaxies.tsv of a galaxy, empty for a real one."""
        self._of(self._galaxies, galaxy)
        return self._components.get(galaxy, [])

    def lens(self, galaxy):
        """Return the lens model of a galaxy, as `lens_model`, with the paths of `images` made those of the galaxy."""
        model = self.lens_model(self._of(self._galaxies, galaxy)["lens"])
        if self.simulated(galaxy):
            images = {
                name: f"results/simulated/galaxies/{galaxy}/hst_{name.lower()}.fits" for name in SIMULATED_FILTERS
            }
        else:
            images = {name: path.replace("{galaxy}", galaxy) for name, path in model["images"].items()}
        return model | {"images": _sorted(images)}

    def lens_model(self, name):
        """Return a lens model; the keys are the same for every origin, None where they do not apply.

        Returns
        -------
        dict
            name, origin ('maps', 'simulated', 'lenstool', 'parametric', 'fit_images' or 'none'), z_lens, images (path
            by filter, may hold ``{galaxy}``). Of maps: x_deflection, y_deflection, kappa, gamma (paths),
            deflection_unit ('arcsec' or 'pixel' or 'degree'), normalisation (Dls/Ds of the model, or {'z_source': z}),
            x_sign, y_sign (1 or -1), realisations ({'kappa': pattern, 'gamma': pattern}), range_directory (of simulated
            realisations). Of Lenstool models: model (best.par), chain (bayes.dat), reference_magnitude, cosmology
            ('model' or 'survey'), radius (arcsec). Of parametric models: centre ([ra, dec]), normalisation, profiles,
            x_axis ('west' or 'east'), radius, chain (table of samples). Of clusters fitted to multiple images: centre,
            multiple_images, members (tables), member_cut, radius (arcsec), and the products of the fit: model, chain.
            Of galaxies fitted to the image of an arc ('fit_arc'): centre, normalisation, arc_image, arc_error, arc_fit
            (options), radius and the products likewise.
        """
        if name in self._lens_models:
            return self._lens_models[name]
        if name != "none" and name not in self._lenses:
            raise ConfigError(f"lenses.yaml has no lens {name!r}{nearest(name, [*self._lenses, 'none'])}")
        entry = self._lenses.get(name, {})
        maps = simulated_lens(name) if entry.get("origin") == "simulated" else {}
        maps |= fitted_cluster(name) if entry.get("origin") == "fit_images" else {}
        maps |= fitted_galaxy_lens(name) if entry.get("origin") == "fit_arc" else {}
        own = {key: value for key, value in entry.items() if key != "alternatives"}
        self._lens_models[name] = _sorted(_NO_MODEL | maps | own | {"name": name})
        return self._lens_models[name]

    def alternative_models(self, name):
        """Return the other models of a lens's field by name, each as `lens_model` has it, in the order written.

        Those that are simulated have maps in a folder, `alternatives_directory`, and no realisations.
        """
        self.lens_model(name)
        models = {}
        for other, entry in self._lenses.get(name, {}).get("alternatives", {}).items():
            simulated = entry["origin"] == "simulated"
            maps = simulated_alternative(name, other) if simulated else {"alternatives_directory": None}
            own = {key: value for key, value in entry.items() if key not in ("seed", "scatter")}
            models[other] = _sorted(_NO_MODEL | maps | own | {"name": f"{name} {other}"})
        return models

    def simulated_alternatives(self, name):
        """Return `seed` and `scatter` of the alternatives of a lens that are simulated, by name."""
        alternatives = self._lenses.get(name, {}).get("alternatives", {})
        return {
            other: {"scatter": 1.0, **{key: entry[key] for key in ("seed", "scatter") if key in entry}}
            for other, entry in alternatives.items()
            if entry["origin"] == "simulated"
        }

    def lenses(self):
        """Return the names of the simulated lenses that galaxies of the survey use, sorted."""
        names = {entry["lens"] for entry in self._galaxies.values()} - {"none"}
        return sorted(name for name in names if self._lenses[name]["origin"] == "simulated")

    def image(self, galaxy):
        """Return the path of the galaxy's image in the filter ``align.image_filter``, None if it has none."""
        return self.lens(galaxy)["images"].get(self.settings(galaxy, "align")["align"]["image_filter"])

    def downloads(self):
        """Return the paths that the run downloads, sorted; none unless ``acquire.enabled``."""
        return sorted(self._downloads)

    def download(self, path):
        """Return ``source``, ``size`` and ``sha256`` (None where not known) of a file of `downloads`."""
        return self._downloads[path]

    def pointings(self):
        """Return the pointings to reduce by name and band; none unless ``reduce.start`` is exposures."""
        return dict(self._pointings)

    def pointing(self, galaxy, band):
        """Return the pointing that the galaxy's cube in this band is reduced from, None if it comes as a cube."""
        found = (name for (name, own), entry in self._pointings.items() if own == band and galaxy in entry["galaxies"])
        return next(found, None)

    def line_list(self, galaxy):
        """Return the path of the galaxy's line list, None if it is the shipped one."""
        path = self.settings(galaxy, "lines")["lines"]["line_list"]
        return None if path == "default" else path

    def realisation_files(self, galaxy, kind=None):
        """Return the files (the folder, if simulated) that hold the realisations of the galaxy's lens model.

        Parameters
        ----------
        galaxy : str
            A galaxy of the survey.
        kind : {'kappa', 'gamma'}, optional
            Only the maps of this kind; both by default.
        """
        model = self.lens(galaxy)
        if model["range_directory"]:
            return [model["range_directory"]]
        return self.files_of(model, kind)

    def files_of(self, model, kind=None):
        """Return the files of the realisations of a model from `lens_model` or `alternative_models`, as they exist."""
        patterns = [pattern for name, pattern in (model["realisations"] or {}).items() if kind in (None, name)]
        return [path for pattern in patterns for path in matches(pattern, self.directory, self._downloads)]

    def settings(self, galaxy, *sections):
        """Return sections of the settings as they hold for one galaxy.

        Parameters
        ----------
        galaxy : str
            A galaxy of the survey.
        *sections : str
            For example ``"lines", "dust"``; all sections if none is named.

        Returns
        -------
        dict of str to dict
            The settings by section.
        """
        self._of(self._galaxies, galaxy)
        own = self._settings["overrides"].get(galaxy)
        if own and galaxy not in self._own_settings:
            self._own_settings[galaxy] = _sorted(merged(self._settings, own))
        return _sections(self._own_settings.get(galaxy, self._settings), sections)

    def with_own_settings(self):
        """Return the galaxies of the survey that override some of its settings, in its order."""
        return [galaxy for galaxy in self.galaxies if self._settings["overrides"].get(galaxy)]

    def survey_settings(self, *sections):
        """Return sections of the settings without the overrides of any galaxy."""
        return _sections(self._settings, sections)


def matches(pattern, directory, promised=()):
    """Return the files that match a pattern, sorted; those of a relative pattern are relative to `directory`.

    Files of `promised` count although they are not there yet.
    """
    path = Path(pattern)
    there = set(_existing(Path(path.anchor or directory), path.relative_to(path.anchor)))
    if path.anchor:
        return sorted(path.anchor + name for name in there)
    return sorted(there | {name for name in promised if _fits(Path(name).parts, path.parts)})


def _existing(directory, pattern):
    """Yield what matches a pattern in a folder, as paths relative to it."""
    if any(map(glob.has_magic, pattern.parts[:-1])) or "**" in pattern.name:
        yield from (str(found.relative_to(directory)) for found in directory.glob(str(pattern)))
        return
    folder = directory / pattern.parent
    if not folder.is_dir():
        return
    # Of a folder with the maps of many lenses only the names that start as the pattern does are compared with it.
    names = _names(str(folder), folder.stat().st_mtime_ns)
    start = re.match(r"[^*?[]*", pattern.name)[0]
    begin, end = bisect.bisect_left(names, start), bisect.bisect_left(names, f"{start}\U0010ffff")
    yield from (str(pattern.parent / name) for name in fnmatch.filter(names[begin:end], pattern.name))


@functools.lru_cache(64)
def _names(folder, changed):
    """Return the sorted names in a folder last changed at this time."""
    return sorted(path.name for path in Path(folder).iterdir())


def _fits(parts, patterns):
    """Whether each part of a path matches that of a pattern."""
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _sections(settings, sections):
    names = [name for name in settings if isinstance(settings[name], dict) and name not in {"overrides", "tables"}]
    for name in sections:
        if name not in names:
            raise ConfigError(f"The settings have no section {name!r}{nearest(name, names)}")
    return {name: settings[name] for name in sorted(sections or names)}


def _sorted_rows(rows):
    """Return the same keys in their order, what they name sorted."""
    return {key: _sorted(row) for key, row in rows.items()}


def _sorted(value):
    """Return a copy with the keys of all dicts sorted."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else copy.copy(value)
