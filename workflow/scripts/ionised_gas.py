"""Star formation and the source of ionisation of one galaxy (Sect. 3.3 and 3.4.1 of the paper)."""

from pathlib import Path

import numpy as np

from klever.abundance.metallicity_maps import ratio_maps
from klever.cubes.axes import sky_to_pixel
from klever.cubes.cube import Cube
from klever.gas.bpt import classify, load_curves
from klever.gas.broad_test import BroadTest, find_broad_line
from klever.gas.dust import REST_WAVELENGTHS
from klever.gas.field_loss import light_outside
from klever.gas.galaxy_bpt import COLUMNS as BPT_COLUMNS
from klever.gas.galaxy_bpt import offset_maps, offset_trends, overall_class
from klever.gas.galaxy_lines import read_galaxy_lines
from klever.gas.galaxy_sfr import COLUMNS as SFR_COLUMNS
from klever.gas.galaxy_sfr import sfr_maps, sfr_rows
from klever.gas.sfr import load_sfr_calibration, summed_flux
from klever.gas.spaxel_stack import HEII, nearest_spaxels, stack_spectra, stacked_line
from klever.gradient.centres import nearest_region
from klever.linefit.aperture import pixel_to_sky
from klever.maps import Map, MapSet, masked
from klever.row_tables import read_table, write_table
from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list

_BEAM_AREA = np.pi / (4 * np.log(2))
_KIND = {-1: "upper", 0: "measured", 1: "lower"}


def measure_ionised_gas(lines, linemaps, spectra, cubes, aligned, source, source_psf, properties, reddening,
                        magnification, sfr_calibration, bpt_lines, line_list, shipped_lines, instruments,
                        star_formation, bpt, maps, settings):  # fmt: skip
    """Measure the star formation rate, and whether anything but young stars ionises the gas.

    Parameters
    ----------
    lines, linemaps, spectra, cubes : list of str
        Products of every band, in the order of ``settings["bands"]``.
    aligned, source, source_psf, properties, magnification : str
        Products of the galaxy.
    reddening : str
        ``properties.ecsv`` of the galaxy whose E(B-V) corrects this one (its own, or ``star_formation.reddening_of``).
    sfr_calibration, bpt_lines, line_list, shipped_lines, instruments : str
        resources/.
    star_formation, bpt : str
        Tables to write; their columns are in `klever.gas.galaxy_sfr` and `klever.gas.galaxy_bpt`.
    maps : str
        MapSet to write, in the source plane: SIGMA_SFR, EBV_USED, EBV_ORIGIN, N2_OFFSET, S2_OFFSET, RADIUS,
        DISPERSION_HALPHA.
    settings : dict
        ``galaxy``, ``lens``, ``z``, ``bands``, ``instruments`` (of each band), and the sections ``star_formation``,
        ``bpt``, ``dust``, ``metallicity``, ``lines``, ``gradient`` and ``cosmology`` of the configuration.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    deprojected = MapSet.read(source)
    shape = next(iter(deprojected.maps.values())).value.shape if deprojected.maps else (1, 1)
    own = _first_row(properties)
    galaxy_ebv = own["ebv"], own["ebv_error"]
    section = settings["metallicity"]
    found = ratio_maps(deprojected, shape, section["map_snr"], lambda: galaxy_ebv, **settings["dust"])
    curves = load_curves(bpt_lines)
    product = MapSet(header=deprojected.header.copy())
    product.maps.update(offset_maps(found.ratios, curves))

    product.maps.update(_places(deprojected, shape))

    row = {key: settings[key] for key in ("galaxy", "lens", "z")} | _integrated(own, curves)
    row |= offset_trends(product.maps, deprojected, _beam_pixels(source_psf, deprojected.header))
    row |= _stack(MapSet.read(aligned), cubes, lines, curves, settings)
    known = load_line_list(line_list, shipped_lines, settings["lines"]["doublet_ratios"])
    row |= _broad(spectra, known, load_instruments(instruments), settings)
    row["agn"] = overall_class(row)
    write_table(bpt, [row], BPT_COLUMNS, {"galaxy": settings["galaxy"], "line": "Kewley et al. 2001"})

    calibration = load_sfr_calibration(sfr_calibration)
    corrected = _first_row(reddening)
    other = settings["star_formation"]["reddening_of"]
    origin = f"balmer of {other}" if other else "balmer"
    snr = settings["star_formation"]["halpha_snr"]
    halpha, total = _image_flux(linemaps, snr, settings["star_formation"]["grow"])
    if settings["star_formation"]["plane"] == "source":
        halpha, total = _source_flux(deprojected, snr), (np.nan, np.nan)
    fibre = read_galaxy_lines(lines).get("Halpha")
    rows = sfr_rows(
        halpha, total, np.nan if fibre is None else fibre.flux, (corrected["ebv"], corrected["ebv_error"], origin),
        _first_row(magnification), _shares(deprojected, settings, snr), calibration, settings,
        agn=row["agn"] == "type1",
        outside=light_outside(*masked(deprojected, "HALPHA")) if "HALPHA" in deprojected else np.nan,
    )  # fmt: skip
    write_table(star_formation, rows, SFR_COLUMNS, {"galaxy": settings["galaxy"], "calibration": calibration.source})
    ebv = (corrected["ebv"], corrected["ebv_error"])
    if row["agn"] != "type1":
        rv, ebv_map = settings["dust"]["rv"], Map(found.ebv, found.ebv_error)
        product.maps.update(sfr_maps(deprojected, ebv_map, ebv, settings["z"], calibration, snr, rv))
    product.header["GALAXY"] = settings["galaxy"]
    product.header["STATE"] = (rows[0]["state"], "ok not_detected no_magnification agn")
    Path(maps).parent.mkdir(parents=True, exist_ok=True)
    product.write(maps)


def _first_row(path):
    table = read_table(path)
    row = {}
    for name in table.colnames:
        value = table[name][0]
        number = np.issubdtype(table[name].dtype, np.floating)
        row[name] = (np.nan if number else None) if np.ma.is_masked(value) else float(value) if number else value
    return row


def _integrated(own, curves):
    ratios = {}
    for name in ("R3", "N2", "S2"):
        if np.isfinite(own[name]):
            ratios[name] = (own[name], own[f"{name}_error"], 0)
        elif np.isfinite(own.get(f"{name}_limit", np.nan)):
            ratios[name] = (own[f"{name}_limit"], np.nan, {"upper": -1, "lower": 1}[str(own[f"{name}_limit_kind"])])
    row = classify(ratios, curves)
    for name, (value, error, kind) in ratios.items():
        row |= {name: value, f"{name}_error": error, f"{name}_kind": _KIND[kind]}
    return row


def _places(source, shape):
    """Return RADIUS (kpc from the reference position) and the velocity dispersion."""
    header = source.header
    if not all(key in header for key in ("XREF", "YREF", "PIXSCALE", "KPC_ARC")):
        return {}
    y, x = np.indices(shape)
    radius = np.hypot(x - header["XREF"], y - header["YREF"]) * header["PIXSCALE"] * header["KPC_ARC"]
    found = {"RADIUS": Map(radius, None, np.zeros(shape, np.uint16), "kpc")}
    return found | ({"DISPERSION_HALPHA": source["DISPERSION_HALPHA"]} if "DISPERSION_HALPHA" in source else {})


def _beam_pixels(source_psf, header):
    psf = read_table(source_psf, ["fwhm_major", "fwhm_minor"])
    if not len(psf) or "PIXSCALE" not in header:
        return np.nan
    sizes = [float(np.ma.filled(np.ma.asarray(psf[name], float), np.nan)[0]) for name in ("fwhm_major", "fwhm_minor")]
    return _BEAM_AREA * sizes[0] * sizes[1] / header["PIXSCALE"] ** 2


def _broad(spectra, line_list, instruments, settings):
    best = BroadTest()
    for band, path in zip(settings["bands"], spectra, strict=True):
        resolution = read_table(path).meta.get("resolution")
        sigma = instrumental_sigma(instruments, settings["instruments"][band], band, resolution)
        found = find_broad_line(path, line_list, sigma, settings["z"], settings["lines"], settings["bpt"]["broad_fwhm"])
        if found.state != "not_tested" and not found.delta_ln_evidence < best.delta_ln_evidence:
            best = found
    return {
        "broad_state": best.state, "broad_delta_ln_evidence": best.delta_ln_evidence, "broad_fwhm": best.fwhm,
        "broad_fwhm_error": best.fwhm_error, "broad_fraction": best.fraction,
    }  # fmt: skip


def _stack(aligned, cubes, lines, curves, settings):
    """Stack the spaxels above a line in the image plane and look for He II in the band of Hbeta."""
    empty = {"stacked_spaxels": 0, "heii_state": "no_spaxels"}
    if not aligned.maps:
        return empty
    shape = next(iter(aligned.maps.values())).value.shape
    found = ratio_maps(aligned, shape, settings["metallicity"]["map_snr"], _no_reddening, **settings["dust"])
    maps = offset_maps(found.ratios, curves)
    above = (maps["N2_OFFSET"].value > 0) | (maps["S2_OFFSET"].value > 0)
    with_hbeta = [index for index, path in enumerate(lines) if "Hbeta" in set(map(str, read_table(path)["line"]))]
    if not above.any() or not with_hbeta:
        return empty
    cube = Cube.read(cubes[with_hbeta[0]])
    x, y = _positions(aligned.header, cube.header, shape)
    rows, columns, pixels = nearest_spaxels(above, x, y, cube.flux.shape[1:])
    if not rows.size:
        return empty
    good = cube.dq[:, rows, columns] == 0
    flux, error = (np.where(good, item[:, rows, columns], np.nan).T for item in (cube.flux, cube.error))
    velocity = np.nan_to_num(masked(aligned, "VELOCITY_OIII")[0].ravel()[pixels])
    width = float(np.nanmedian(masked(aligned, "DISPERSION_OBS_OIII")[0].ravel()[pixels]))
    stack = stack_spectra(cube.wavelength, flux, error, velocity, settings["z"])
    line = stacked_line(*stack, HEII, width, settings["bpt"]["heii_snr"])
    row = {"stacked_spaxels": int(rows.size), "heii_state": line.state}
    if line.state == "not_covered":
        return row
    # flux per unit of rest wavelength times (1 + z) is that per unit of observed wavelength
    scale = 1 + settings["z"]
    hbeta = stacked_line(*stack, REST_WAVELENGTHS["Hbeta"], width, settings["bpt"]["heii_snr"])
    limit = line.flux if line.state == "detected" else max(line.flux, 0.0) + 3 * line.error
    row |= {"heii_flux": line.flux * scale, "heii_error": line.error * scale}
    if hbeta.state == "detected":
        row["heii_hbeta"] = limit / hbeta.flux
    return row


def _no_reddening():
    return np.nan, np.nan


def _positions(header, cube_header, shape):
    """Where the pixels of a map are in a cube: an affine map, found from three of them."""
    corners = [(0.0, 0.0), (float(shape[1]), 0.0), (0.0, float(shape[0]))]
    at = np.array([sky_to_pixel(cube_header, *pixel_to_sky(header, *corner)) for corner in corners])
    y, x = np.indices(shape)
    along_x, along_y = (at[1] - at[0]) / shape[1], (at[2] - at[0]) / shape[0]
    return tuple(at[0][i] + x * along_x[i] + y * along_y[i] for i in (0, 1))


def _image_flux(linemaps, snr, grow):
    """Return flux, error and number of spaxels above `snr`, and flux and error with the wings within `grow` arcsec."""
    best, total = (np.nan, np.nan, 0), (np.nan, np.nan)
    for path in linemaps:
        maps = MapSet.read(path)
        if "HALPHA" not in maps:
            continue
        correlation = maps["NOISE_ACF"].value if "NOISE_ACF" in maps else None
        flux = masked(maps, "HALPHA")
        found = summed_flux(*flux, snr, correlation)
        if found[2] > best[2]:
            best, total = found, summed_flux(*flux, snr, correlation, grow / maps.header["SPAXEL"])[:2]
    return best, total


def _source_flux(source, snr):
    if "HALPHA" not in source:
        return np.nan, np.nan, 0
    flux, _, count = summed_flux(*masked(source, "HALPHA"), snr)
    # pixels are much smaller than the PSF: the relative error is that of the flux which `source` measured
    relative = source.header.get("E_SRC", np.nan) / source.header.get("FLUX_SRC", np.nan)
    flux *= source.header["PIXSCALE"] ** 2
    return flux, flux * relative, count


def _shares(source, settings, snr):
    regions = settings["gradient"]["regions"]
    if not regions or "HALPHA" not in source:
        return {}
    scale = source.header["PIXSCALE"]
    seeds = [(source.header["XC"] - item["east"] / scale, source.header["YC"] + item["north"] / scale)
             for item in regions.values()]  # fmt: skip
    flux = np.nan_to_num(masked(source, "HALPHA", snr)[0])
    nearest = nearest_region(flux.shape, seeds)
    total = flux.sum()
    if not total > 0:
        return {}
    return {name: float(flux[nearest == index].sum() / total) for index, name in enumerate(regions)}


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_ionised_gas)
