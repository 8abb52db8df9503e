"""Draw the page on the quality of a galaxy's line fits: maps and chosen spectra of every band and group."""

import os
from pathlib import Path

from astropy.io import fits

from klever.cubes.cube import Cube
from klever.errors import InputError
from klever.linefit.cubefit import band_models
from klever.linefit.groupspectra import bins_of, group_spectra
from klever.maps import MapSet
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.line_quality import draw_quality_page
from klever.publish.quality_block import Block, choose_spaxels
from klever.publish.spaxel_fit import fit_from_maps, fitted_groups, has_spectrum, with_best_fit
from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list


def draw_line_quality(cubes, linemaps, line_list, shipped_lines, instruments, kernel, pdf, png, settings):
    """Draw the page of one galaxy.

    Parameters
    ----------
    cubes, linemaps : list of path-like
        Canonical cube and maps of each band, in the order of ``settings["bands"]``.
    line_list, shipped_lines, instruments : path-like
        As the step `lines` takes them.
    kernel : path-like
        File in the folder of the machine code, see ``compile_kernel.py``.
    pdf, png : path-like
        Outputs.
    settings : dict
        ``galaxy``, ``name``, ``z``, ``bands``, ``simulated``, ``lines`` and ``figures``.

    Raises
    ------
    InputError
        A product cannot be read, or was made with another line list.
    """
    os.environ["KLEVER_KERNEL_CACHE"] = str(Path(kernel).parent)
    known, table = (
        load_line_list(line_list, shipped_lines, settings["lines"]["doublet_ratios"]),
        load_instruments(instruments),
    )
    blocks, notes = [], []
    for name, cube, maps in zip(settings["bands"], cubes, linemaps, strict=True):
        found = _blocks(name, cube, MapSet.read(maps), known, table, settings, maps)
        blocks += found
        if not found:
            notes.append(f"{name}    none of the lines falls into this band.")
    with paper_style():
        figure = draw_quality_page(blocks, notes, settings)
        save_figure(figure, pdf, png, settings["figures"]["dpi"], page=True)


def _blocks(name, path, maps, known, instruments, settings, product):
    """Blocks of one band; none where no group falls into it."""
    groups = fitted_groups(maps)
    if not groups:
        return []
    options = settings["lines"]
    cube = Cube.read(path)
    sigma = instrumental_sigma(instruments, maps.header["INSTRUME"], name, maps.header.get("RESOLUT"))
    band = band_models(cube, known, sigma, maps.header["Z"], options["groups"])
    models = {model.group.name.upper(): model for model in band.models}
    bins, _ = bins_of(cube, band, options)
    spectra, blocks = {}, []
    for group in groups:
        base = group if group in models else next((key for key in models if group.startswith(f"{key}_")), None)
        if base is None:
            raise InputError(f"{product} has the group {group}, which the line list does not have in this band; "
                             f"make the maps again: snakemake {product}")  # fmt: skip
        if base not in spectra:
            spectra[base] = group_spectra(cube, band, models[base], options, bins)
        blocks += _block(name, group, base, maps, spectra[base], settings, path)
    return blocks


def _block(name, group, base, maps, spectra, settings, path):
    """One block with the fits of its chosen spaxels; none for a component whose main line has no map."""
    suffix = group.removeprefix(base)
    main = f"{spectra.model.names[spectra.model.main]}{suffix}"
    if main not in maps:
        return []
    block = Block(name, group, maps, main, fits.getheader(path))
    chosen = choose_spaxels(block.flux, block.snr, block.chi2, block.flags, settings["lines"]["detection_snr"])
    for kind, (x, y) in chosen.items():
        if has_spectrum(spectra, x, y):
            fit = fit_from_maps(spectra, maps, x, y, suffix)
            block.fits.append((kind, with_best_fit(fit, spectra, settings["lines"])))
    return [block]


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_line_quality)
