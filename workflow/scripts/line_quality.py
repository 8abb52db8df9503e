"""Draw the page on the quality of a galaxy's line fits: maps and chosen spectra of every band and group."""

import numpy as np
from astropy.io import fits

from klever.cubes.cube import Cube
from klever.errors import InputError
from klever.linefit.cubefit import band_models
from klever.linefit.groupspectra import bins_of, group_spectra
from klever.maps import MapSet
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.line_quality import draw_quality_page
from klever.publish.quality_block import Block, choose_spaxels
from klever.publish.spaxel_fit import fit_from_maps, fitted_groups, has_spectrum, with_best_fits
from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list


def draw_line_quality(cubes, linemaps, line_list, shipped_lines, instruments, pdf, png, settings):
    """Draw the page of one galaxy.

    Parameters
    ----------
    cubes, linemaps : list of path-like
        Canonical cube and maps of each band, in the order of ``settings["bands"]``.
    line_list, shipped_lines, instruments : path-like
        As the step `lines` takes them.
    pdf, png : path-like
        Outputs.
    settings : dict
        ``galaxy``, ``name``, ``z``, ``bands``, ``simulated``, ``lines`` and ``figures``.

    Raises
    ------
    InputError
        A product cannot be read, or was made with another line list.
    """
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
    options = settings["lines"] | {"engine": "numpy"}  # for a dozen spectra faster than loading the compiled one
    cube = Cube.read(path)
    sigma = instrumental_sigma(instruments, maps.header["INSTRUME"], name, maps.header.get("RESOLUT"))
    band = band_models(cube, known, sigma, maps.header["Z"], options["groups"])
    models = {model.group.name.upper(): model for model in band.models}
    bins, _ = bins_of(cube, band, options)
    owners = {group: _owner(group, models, product) for group in groups}
    found = [_block(name, group, owner, models[owner], maps, settings, path) for group, owner in owners.items()]
    blocks = [(block, chosen, owner) for block, chosen, owner in filter(None, found)]
    for owner in dict.fromkeys(owners.values()):
        own = [(block, chosen) for block, chosen, base in blocks if base == owner]
        asked = np.zeros(cube.flux.shape[1:], bool)
        for x, y in (place for _, chosen in own for place in chosen.values()):
            asked[y, x] = True
        spectra = group_spectra(cube, band, models[owner], options, bins, asked)
        for block, chosen in own:
            _fit_chosen(block, chosen, spectra, options, block.group.removeprefix(owner))
    return [block for block, _, _ in blocks]


def _owner(group, models, product):
    """Name of the group of the line list that a group of maps, possibly a broad component, belongs to."""
    owner = group if group in models else next((key for key in models if group.startswith(f"{key}_")), None)
    if owner is None:
        raise InputError(f"{product} has the group {group}, which the line list does not have in this band; "
                         f"make the maps again: snakemake {product}")  # fmt: skip
    return owner


def _block(name, group, owner, model, maps, settings, path):
    """One block, its chosen spaxels and its owner; none for a component whose main line has no map."""
    main = f"{model.names[model.main]}{group.removeprefix(owner)}"
    if main not in maps:
        return None
    block = Block(name, group, maps, main, fits.getheader(path))
    return (
        block,
        choose_spaxels(block.flux, block.snr, block.chi2, block.flags, settings["lines"]["detection_snr"]),
        owner,
    )


def _fit_chosen(block, chosen, spectra, options, suffix):
    shown = {kind: place for kind, place in chosen.items() if has_spectrum(spectra, *place)}
    fits = [fit_from_maps(spectra, block.maps, x, y, suffix) for x, y in shown.values()]
    block.fits += zip(shown, with_best_fits(fits, spectra, options), strict=True)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_line_quality)
