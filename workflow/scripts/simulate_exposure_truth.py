"""Noise-free line maps of one galaxy of a simulated pointing in one band, as its combined cube should show them."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever.maps import Map, MapSet
from klever_simulation.exposure_files import field_position
from klever_simulation.exposure_truth import GRID, mean_error, truth_maps
from klever_simulation.formats import celestial_header


def simulate_exposure_truth(*, scene, states, line_list, instruments, truth, settings):
    """Make the truth of a galaxy.

    Parameters
    ----------
    scene : path
        scene.npz of `simulate_galaxy`.
    states : path
        truth.json of `simulate_exposures`.
    line_list, instruments : path
        resources/lines.yaml, instruments.yaml.
    truth : path
        Output.
    settings : dict
        galaxy, band, instrument, pointing.
    """
    galaxy, band, instrument = settings["galaxy"], settings["band"], settings["instrument"]
    entry = yaml.safe_load(Path(instruments).read_text(encoding="utf-8"))[instrument][band]
    lines = yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"]
    rest = {name: line["wavelength"] for name, line in lines.items()}
    known = json.loads(Path(states).read_text(encoding="utf-8"))
    with np.load(scene, allow_pickle=False) as archive:
        content = dict(archive)
    ra, dec = float(content["field_ra"]), float(content["field_dec"])
    error = mean_error(known["exposures"], field_position(known["centre"], ra, dec))
    offset = (-error[0], -error[1])
    seeing = [state["seeing"] for state in known["exposures"] if state["kind"] == "O"]
    fluxes, velocity, dispersion, brightest = truth_maps(
        content, rest, tuple(entry["range"]), seeing, offset, instrument
    )  # fmt: skip
    number, scale = GRID[instrument]
    header = celestial_header(ra, dec, number, number, scale)
    header["GALAXY"], header["BAND"], header["INSTRUME"] = galaxy, band, instrument
    header["POINTING"] = settings["pointing"]
    header["OFFSET_X"] = (offset[0], "arcsec west, mean: WCS minus truth")
    header["OFFSET_Y"] = (offset[1], "arcsec north, mean: WCS minus truth")
    header["PSFFWHM"] = (float(np.mean(seeing)), "arcsec, seeing; spaxels are in the maps, too")
    header["MAINLINE"] = (brightest, "line of VELOCITY and DISPERSION")
    header["SIMULATE"] = True
    maps = MapSet(header=header)
    for name, flux in fluxes.items():
        maps[name] = Map(flux, unit="erg s-1 cm-2")
    if brightest:
        maps["VELOCITY"] = Map(velocity, unit="km s-1")
        maps["DISPERSION"] = Map(dispersion, unit="km s-1")
    maps.write(truth)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_exposure_truth)
