"""Simulate the exposures of one pointing in one band: galaxies, sky, a standard star, and with KMOS three stars."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever_simulation.exposure_files import (
    field_position,
    point_source,
    scene_source,
    write_exposure,
    write_sinfoni_exposure,
)
from klever_simulation.exposures import Instrument, Sky, State, Target, observing_block
from klever_simulation.galaxies import seeded
from klever_simulation.noise import read_oh_lines
from klever_simulation.standards import standard_spectrum

STAR_FLUX = 2e-13  # erg s-1 cm-2 um-1 at 1.6 um: about 17th magnitude in H
EXPOSURE_TIME, STANDARD_TIME = {"KMOS": 300.0, "SINFONI": 600.0}, 10.0  # s
FIELD = {"KMOS": {}, "SINFONI": {"n_spaxel": 32, "spaxel": 0.25}}
# SINFONI guides on a star beside its field and has no arms: it points better, and does not turn
BLOCK = {"KMOS": {}, "SINFONI": {"drift": 0.02, "rotation": 0.0, "interval": 630.0}}
COSMIC_RAYS = {"KMOS": 6, "SINFONI": 40}  # mean number of voxels per IFU and exposure


def simulate_exposures(*, scenes, line_list, instruments, sky_lines, exposures, standard, truth, settings):
    """Simulate an observing block.

    Parameters
    ----------
    scenes : list of str
        scene.npz of each galaxy.
    line_list, instruments, sky_lines : str
        resources/lines.yaml, instruments.yaml, oh_lines_rousselot2000.dat.
    exposures, standard : list of str
        Outputs: A-B-A exposures; the standard star and its sky.
    truth : str
        Output: what each exposure really did (JSON).
    settings : dict
        pointing, band, instrument (KMOS or SINFONI), simulation (seed), seeing (arcsec), galaxies and stars (their
        names), standard (temperature, magnitude).
    """
    kind = settings["instrument"]
    entry = yaml.safe_load(Path(instruments).read_text(encoding="utf-8"))[kind][settings["band"]]
    instrument = Instrument(settings["band"], tuple(entry["range"]), entry["resolution"], **FIELD[kind])
    lines = yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"]
    rest = {name: line["wavelength"] for name, line in lines.items()}
    sky = Sky(instrument, read_oh_lines(sky_lines))
    seed = int(seeded(settings["simulation"]["seed"], settings["pointing"], settings["band"]).integers(2**31))
    content = {name: _load(path) for name, path in zip(settings["galaxies"], scenes, strict=True)}
    centre = tuple(float(np.mean([scene[f"field_{key}"] for scene in content.values()])) for key in ("ra", "dec"))
    targets = _targets(instrument, content, rest, centre, settings["stars"])
    states = observing_block(len(exposures), seed, instrument.band, seeing=settings["seeing"], **BLOCK[kind])

    def write(path, targets, state, seconds, hits):
        if kind == "KMOS":
            write_exposure(path, instrument, sky, targets, state, centre, seconds, seed, cosmic_rays=hits)
        else:
            write_sinfoni_exposure(path, instrument, sky, targets[0], state, centre, seconds, seed, cosmic_rays=hits)

    for path, state in zip(exposures, states, strict=True):
        write(path, targets, state, EXPOSURE_TIME[kind], COSMIC_RAYS[kind])
    spectrum = standard_spectrum(instrument, **settings["standard"])
    star = Target(3, "standard", (0.0, 0.0), "star", point_source(instrument, spectrum))
    for number, (path, name) in enumerate(zip(standard, "OS", strict=True)):
        state = State(1000 + number, name, -3600.0 + 60 * number, seeing=settings["seeing"])
        write(path, [star], state, STANDARD_TIME, 0)
    known = {"centre": list(centre), "exposures": [_known(state) for state in states]}
    Path(truth).write_text(json.dumps(known, indent=1), encoding="utf-8")


def _load(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _targets(instrument, scenes, rest, centre, stars):
    """Three stars, one per detector (none of SINFONI), and the galaxies on the arms that are left."""
    spectrum = STAR_FLUX * (instrument.wavelength / 1.6) ** -3
    places = ((-80.0, 60.0), (100.0, 20.0), (-20.0, -110.0))
    targets = [
        Target(arm, name, place, "star", point_source(instrument, spectrum))
        for arm, name, place in zip((2, 11, 20), stars, places, strict=False)
    ]
    free = [arm for block in range(8) for arm in (block + 1, block + 9, block + 17) if arm not in (2, 11, 20)]
    for arm, (name, scene) in zip(free, scenes.items(), strict=False):
        place = field_position(centre, float(scene["field_ra"]), float(scene["field_dec"]))
        targets.append(Target(arm, name, place, "galaxy", scene_source(instrument, scene, rest)))
    return targets


def _known(state):
    return {
        "number": state.number, "kind": state.kind, "time": state.time, "dither": list(state.dither),
        "drift": [float(v) for v in state.drift], "rotation": float(state.rotation), "seeing": float(state.seeing),
        "groups": [float(v) for v in state.groups],
        "flexure": {str(key): [float(v) for v in value] for key, value in state.flexure.items()},
    }  # fmt: skip


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_exposures)
