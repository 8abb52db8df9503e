"""Simulate the exposures of one KMOS pointing in one band: galaxies, three stars, sky, and a standard star."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever_simulation.exposure_files import field_position, point_source, scene_source, write_exposure
from klever_simulation.exposures import Instrument, Sky, State, Target, observing_block
from klever_simulation.galaxies import seeded
from klever_simulation.noise import read_oh_lines
from klever_simulation.standards import standard_spectrum

STAR_FLUX = 2e-13  # erg s-1 cm-2 um-1 at 1.6 um: about 17th magnitude in H
EXPOSURE_TIME, STANDARD_TIME = 300.0, 10.0  # s


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
        pointing, band, simulation (seed), seeing (arcsec), galaxies and stars (their names), standard (temperature,
        magnitude).
    """
    entry = yaml.safe_load(Path(instruments).read_text(encoding="utf-8"))["KMOS"][settings["band"]]
    instrument = Instrument(settings["band"], tuple(entry["range"]), entry["resolution"])
    lines = yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"]
    rest = {name: line["wavelength"] for name, line in lines.items()}
    sky = Sky(instrument, read_oh_lines(sky_lines))
    seed = int(seeded(settings["simulation"]["seed"], settings["pointing"], settings["band"]).integers(2**31))
    content = {name: _load(path) for name, path in zip(settings["galaxies"], scenes, strict=True)}
    centre = tuple(float(np.mean([scene[f"field_{key}"] for scene in content.values()])) for key in ("ra", "dec"))
    targets = _targets(instrument, content, rest, centre, settings["stars"])
    states = observing_block(len(exposures), seed, instrument.band, seeing=settings["seeing"])
    for path, state in zip(exposures, states, strict=True):
        write_exposure(path, instrument, sky, targets, state, centre, EXPOSURE_TIME, seed)
    spectrum = standard_spectrum(instrument, **settings["standard"])
    star = Target(3, "standard", (0.0, 0.0), "star", point_source(instrument, spectrum))
    for number, (path, kind) in enumerate(zip(standard, "OS", strict=True)):
        state = State(1000 + number, kind, -3600.0 + 60 * number, seeing=settings["seeing"])
        write_exposure(path, instrument, sky, [star], state, centre, STANDARD_TIME, seed, cosmic_rays=0)
    Path(truth).write_text(json.dumps([_known(state) for state in states], indent=1), encoding="utf-8")


def _load(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _targets(instrument, scenes, rest, centre, stars):
    """Three stars, one per detector, and the galaxies on the arms that are left."""
    spectrum = STAR_FLUX * (instrument.wavelength / 1.6) ** -3
    places = ((-80.0, 60.0), (100.0, 20.0), (-20.0, -110.0))
    targets = [
        Target(arm, name, place, "star", point_source(instrument, spectrum))
        for arm, name, place in zip((2, 11, 20), stars, places, strict=True)
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
