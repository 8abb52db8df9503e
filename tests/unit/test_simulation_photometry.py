"""Light of the simulated galaxies: the images hold the magnitudes of the table and the lines of the scene."""

import csv
from pathlib import Path

import numpy as np
import pytest
from test_simulation_galaxies import CALIBRATIONS, make_row

from klever_simulation.galaxies import component_from_row, read_light
from klever_simulation.hst import FILTERS, line_densities, make_images, read_curves
from klever_simulation.scene import Identity, Setting
from klever_simulation.stellar_light import draw_history, specific_rate

RESOURCES = Path(__file__).resolve().parents[2] / "resources/simulation"
LIGHT = {"slope": -1.5, "F435W": 24.0, "F606W": 23.8, "F814W": 23.5, "F105W": 23.0, "F125W": 22.8, "F140W": 22.7,
         "F160W": 22.6}  # fmt: skip
REST = {"Halpha": 0.656461, "Hbeta": 0.486268}


class Silence:
    """Stands for a random generator: images without noise."""

    def normal(self, mean, sigma, shape):
        return np.zeros(shape)


def setting(z=1.3, light=LIGHT):
    row = make_row(effective_radius_kpc=1.5) | {"light": light}
    component = component_from_row(row, z, 0.0, 0.0, CALIBRATIONS, 1)
    return Setting(Identity(150.0, 2.0), [component], z, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 2.0)


def magnitudes(images):
    found = {}
    for name, hdu in images.items():
        density = hdu.data.astype(float).sum()  # erg s-1 cm-2 um-1 at the pivot
        found[name] = -2.5 * np.log10(density * hdu.header["PHOTPLAM"] ** 2 / 2.99792458e14) - 48.6
    return found


def test_images_hold_the_stars_of_the_table():
    found = magnitudes(make_images(setting(), 150.0, 2.0, Silence()))
    assert set(found) == set(FILTERS)
    for name in FILTERS:
        assert found[name] == pytest.approx(LIGHT[name], abs=0.02), name  # the field cuts the outskirts


def test_without_the_table_the_stars_are_a_power_law():
    found = magnitudes(make_images(setting(light=None), 150.0, 2.0, Silence()))
    pivots = np.log10([FILTERS[name][0] for name in found])
    slope = np.polyfit(pivots, -0.4 * np.array(list(found.values())), 1)[0]
    assert slope == pytest.approx(0.5, abs=0.01)  # of f_nu


def test_lines_are_added_where_the_filter_lets_them_pass():
    scene = setting()
    component = scene.components[0]
    densities = line_densities(component, 1.3, REST, read_curves())
    stars = make_images(scene, 150.0, 2.0, Silence())
    both = make_images(scene, 150.0, 2.0, Silence(), [densities])
    assert densities["F435W"] == densities["F814W"] == 0 and densities["F160W"] > 0
    added = {name: (both[name].data.astype(float) - stars[name].data).sum() for name in FILTERS}
    assert added["F435W"] == 0
    # Halpha alone in F160W (0.28 um wide, of even throughput): flux over width, within the shape of the curve
    assert added["F160W"] == pytest.approx(component.halpha_flux / 0.28, rel=0.1)


def test_the_table_is_that_of_the_galaxies():
    light = read_light(RESOURCES / "photometry.tsv")
    with (RESOURCES / "galaxies.tsv").open(newline="") as table:
        rows = list(csv.DictReader((line for line in table if line[0] != "#"), delimiter="\t"))
    assert set(light) == {(row["galaxy"], row["component"]) for row in rows}
    assert all(set(entry) == {*FILTERS, "slope"} for entry in light.values())
    assert light["horseshoe_west", "all"] == light["horseshoe_full", "all"]  # one source


@pytest.mark.parametrize("rate", [0.05, 1.0, 5.0, 15.0])
def test_histories_have_the_rate_they_are_drawn_for(rate):
    age, tau = draw_history(rate, 4.0, np.random.default_rng(3))
    assert 0.1 <= age <= 4.0
    assert specific_rate(age / tau, tau) == pytest.approx(rate, rel=0.1)
    assert draw_history(100.0, 4.0, np.random.default_rng(3))[0] == 0.1  # no history of 0.1 Gyr rises that fast
