"""Draw the spectrum of one spaxel with the fit of every group of its band: the work behind ``make spaxel``.

X and Y are 0-based and in the order of FITS images: x runs along the rows, y along the columns, (0, 0) is the first
pixel of the image, lower left in ds9, where it is called (1, 1).  The spaxel is fitted again, with the settings of the
survey; if the result is not that of the saved maps, the figure and a warning say so.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from klever.config.loading import load_survey
from klever.config.schema import Problems, nearest, read_yaml
from klever.errors import ConfigError, InputError, KleverError

ROOT = Path(__file__).resolve().parents[2]
_TOLERANCE = 0.05  # of the error: a new fit of the same data by the same code agrees to rounding


def draw_spaxel(directory, galaxy, band, x, y, group=None, output=None):
    """Draw one spaxel of a survey and print what was measured.

    Parameters
    ----------
    directory : pathlib.Path
        The survey folder.
    galaxy, band : str
    x, y : int
        0-based, in the order of FITS images.
    group : str, optional
        Draw only this group of lines.
    output : path-like, optional
        PNG or PDF; by default ``spaxel_x{x}_y{y}.png`` next to the cube.

    Returns
    -------
    pathlib.Path
        The figure.

    Raises
    ------
    KleverError
        The spaxel cannot be drawn; the message says why and what to do.
    """
    output = None if output is None else Path(output).absolute()
    if output is not None and output.suffix not in {".png", ".pdf"}:
        raise InputError(f"--output {output.name} is no kind of figure that can be written; end it in .png or .pdf.")
    if not Path(directory).is_dir():
        raise InputError(f"the survey folder {directory} does not exist; name one that holds config/ and results/.")
    os.chdir(directory)
    survey = _survey()
    settings = _settings(survey, galaxy, band)
    folder = Path("results/galaxies") / galaxy / band
    cube, maps = _products(folder, directory)
    if Path("results/kernel").is_dir():
        os.environ["KLEVER_KERNEL_CACHE"] = str(Path("results/kernel").absolute())
    spectra = _spectra(cube, maps, settings, group)
    _check_spaxel(spectra, cube, x, y, f"{galaxy} {band}")
    fits, notes = _fits(spectra, maps, settings, x, y, f"{folder}/linemaps.fits", directory)
    for fit in fits:
        print(_sentence(fit))
    for note in notes:
        print(f"WARNING: {note}", file=sys.stderr)
    output = folder / f"spaxel_x{x}_y{y}.png" if output is None else output
    _save(fits, notes, survey, settings, output)
    return output


def _survey():
    file, problems = Path("config/config.yaml"), Problems()
    settings = read_yaml(file, str(file), problems) if file.is_file() else {}
    if problems:
        raise ConfigError("; ".join(problems))
    return load_survey(settings, Path.cwd(), ROOT / "resources", ROOT / "workflow/schemas")


def _settings(survey, galaxy, band):
    """Return the settings of the step `lines` on this band; errors name the nearest galaxy or band."""
    return {"galaxy": galaxy, "band": band, "simulated": survey.simulated(galaxy),
            "line_list": survey.line_list(galaxy), **survey.galaxy(galaxy),
            **survey.observation(galaxy, band), **survey.settings(galaxy, "lines", "figures")}  # fmt: skip


def _products(folder, directory):
    from klever.cubes.cube import Cube
    from klever.maps import MapSet

    for name in ("cube.fits", "linemaps.fits"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} has not been made; run: {_command(directory, folder / name)}")
    return Cube.read(folder / "cube.fits"), MapSet.read(folder / "linemaps.fits")


def _command(directory, target):
    where = "" if Path(directory).resolve() == ROOT else f" --directory {directory}"
    return f"{ROOT / '.venv/bin/snakemake'}{where} {target}"


def _spectra(cube, maps, settings, group):
    """Smoothed spectra of the groups that fall into the band, or of the one that is named."""
    from klever.linefit.cubefit import band_models
    from klever.linefit.groupspectra import bins_of, group_spectra
    from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list

    galaxy, name, options = settings["galaxy"], settings["band"], settings["lines"]
    instruments = load_instruments(ROOT / "resources/instruments.yaml")
    sigma = instrumental_sigma(instruments, settings["instrument"], name, settings["resolution"])
    shipped = ROOT / "resources/lines.yaml"
    lines = load_line_list(settings["line_list"] or shipped, shipped, options["doublet_ratios"])
    band = band_models(cube, lines, sigma, settings["z"], options["groups"])
    fitted = [model.group.name for model in band.models]
    if not fitted:
        raise InputError(f"{galaxy} {name}: none of the groups {', '.join(options['groups'])} falls into this band at "
                         f"z = {settings['z']:g}, so nothing is fitted; choose another band.")  # fmt: skip
    if group is not None and group not in fitted:
        raise InputError(f"{galaxy} {name}: there is no group {group!r} in this band{nearest(group, fitted)}")
    chosen = [model for model in band.models if group in (None, model.group.name)]
    bins, _ = bins_of(cube, band, options)
    return [group_spectra(cube, band, model, options, bins) for model in chosen]


def _check_spaxel(spectra, cube, x, y, where):
    from klever.publish.spaxel_fit import has_spectrum

    ny, nx = cube.shape[1:]
    if not (0 <= x < nx and 0 <= y < ny):
        raise InputError(f"{where}: the spaxel x = {x}, y = {y} is outside the field; x runs from 0 to {nx - 1} and y "
                         f"from 0 to {ny - 1} (0-based, FITS order; ds9 counts from 1).")  # fmt: skip
    if not any(has_spectrum(one, x, y) for one in spectra):
        raise InputError(f"{where}: the spaxel x = {x}, y = {y} holds no data (outside the field of view, or every "
                         "channel is masked); choose one that is not NO_DATA on the map of flags.")  # fmt: skip


def _fits(spectra, maps, settings, x, y, product, directory):
    """Fits of the groups, and sentences about what is not as in the saved maps."""
    from klever.publish.spaxel_fit import fit_from_maps, fitted_groups, has_spectrum, refit

    scale = float(maps.header.get("ERRSCALE", 1.0))
    fits, different = [], []
    for one in (one for one in spectra if has_spectrum(one, x, y)):
        fit, name = refit(one, settings["lines"], x, y, scale), one.model.group.name
        fits.append(fit)
        if name.upper() not in fitted_groups(maps):
            different.append(f"{name} is not in them")
        else:
            different += _differences(fit, fit_from_maps(one, maps, x, y), name)
    if not different:
        return fits, []
    return fits, [f"The saved maps {product} were made from other data, settings or code ({'; '.join(different)}). "
                  f"Drawn is a new fit; to make the maps again: {_command(directory, product)}"]  # fmt: skip


def _differences(fit, saved, name):
    """Say which numbers of a new fit are not those of the maps."""
    found = []
    for key in ("flux", "velocity", "dispersion"):
        new, old, error = fit.numbers[key], saved.numbers[key], fit.numbers[f"{key}_error"]
        same = abs(new - old) <= _TOLERANCE * error + 1e-5 * abs(new) if np.isfinite(new) else not np.isfinite(old)
        if not same:
            unit = "" if key == "flux" else " km/s"
            found.append(f"{name} {key} {old:.4g} there, {new:.4g}{unit} now")
    return found


def _sentence(fit):
    from klever.publish.spaxel_figure import flag_names

    names = ", ".join(flag_names(fit.flags)) or "none"
    if not fit.fitted:
        return f"{fit.model.group.name}: no fit; flags: {names}"
    value, main = fit.numbers, fit.model.names[fit.model.main]
    return (f"{fit.model.group.name}: {main} flux {value['flux']:.3e} +- {value['flux_error']:.1e} erg/s/cm2, "
            f"S/N {fit.snr:.1f}, v {value['velocity']:+.1f} +- {value['velocity_error']:.1f} km/s, sigma "
            f"{value['dispersion']:.1f} +- {value['dispersion_error']:.1f} km/s, reduced chi2 {value['chi2']:.2f}, "
            f"flags: {names}")  # fmt: skip


def _save(fits, notes, survey, settings, output):
    from klever.publish.figure_style import paper_style
    from klever.publish.spaxel_figure import draw_spaxel_figure

    fit = fits[0]
    title = f"{settings['name']}   {settings['band']}   spaxel x = {fit.x}, y = {fit.y}"
    with paper_style():
        figure = draw_spaxel_figure(fits, title, notes, settings["simulated"])
        output.parent.mkdir(parents=True, exist_ok=True)
        dates = {"CreationDate": None, "Creator": None} if output.suffix == ".pdf" else {"Software": None}
        figure.savefig(output, dpi=settings["figures"]["dpi"], metadata=dates)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galaxy", help="galaxy of the catalogue, for example sp3")
    parser.add_argument("band", help="band, for example H")
    parser.add_argument("x", type=int, help="0-based, along the rows")
    parser.add_argument("y", type=int, help="0-based, along the columns")
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder with its config/")
    parser.add_argument("--group", help="draw only this group of lines, for example halpha")
    parser.add_argument("--output", type=Path, help="figure to write, .png or .pdf")
    arguments = parser.parse_args()
    try:
        print(draw_spaxel(**vars(arguments)))
    except KleverError as error:
        sys.exit(f"ERROR: {error}")
