"""Magnification without the seeing, and source pixels on the border of the field."""

import numpy as np
import pytest
from lensing_scene import Isothermal
from scipy.ndimage import gaussian_filter

from klever.source.delensing import delens
from klever.source.intrinsic_magnification import seeing_factor
from klever.source.magnification import covered_fraction

SCALE = 0.065
OPTIONS = {"method": "subpixels", "subpixels": 4, "pixel_scale": SCALE}


class Scene:
    """A round Gaussian source behind an isothermal sphere, seen in a square field."""

    def __init__(self, lens, at, sigma, centre, size=56, fwhm=0.6):
        self.lens, self.fwhm = lens, fwhm
        axis = (np.arange(size) - (size - 1) / 2) * SCALE
        x, y = np.meshgrid(centre[0] + axis, centre[1] + axis)
        self.offsets, self.alpha = (x, y), lens.deflection(x, y)
        self.inverse_mu = 1 / np.abs(lens.mu(x, y))
        wide = size + 40  # the seeing brings light in from outside
        axis = (np.arange(wide * 4) - (wide * 4 - 1) / 2) * SCALE / 4
        fx, fy = np.meshgrid(centre[0] + axis, centre[1] + axis)
        ax, ay = lens.deflection(fx, fy)
        sharp = np.exp(-0.5 * ((fx - ax - at[0]) ** 2 + (fy - ay - at[1]) ** 2) / sigma**2)
        blurred = gaussian_filter(sharp, fwhm / 2.3548 / SCALE * 4)
        self.sharp, self.seen = (
            image.reshape(wide, 4, wide, 4).mean(axis=(1, 3))[20:-20, 20:-20] for image in (sharp, blurred)
        )
        self.areas = SCALE**2, SCALE**2
        self.centre = at

    def plane(self):
        return delens(self.alpha, self.offsets, self.centre, OPTIONS)

    def ratio(self, image, significant):
        plane = self.plane()
        counted = covered_fraction(plane, np.isfinite(image), significant, self.inverse_mu, self.areas)
        return image[significant].sum() / (counted @ (plane.operator @ image.ravel()))

    def factor(self, significant, select=None, image=None):
        lens = self.alpha, self.offsets, self.inverse_mu, SCALE
        image = self.seen if image is None else image
        return seeing_factor(image, significant, lens, self.centre, OPTIONS, self.fwhm, select)


def test_ratio_of_a_thin_arc_is_corrected_to_that_without_seeing():
    """The arc lies on the critical circle, where the seeing lowers the flux ratio most."""
    scene = Scene(Isothermal(2.0, (-2.0, 0.0)), (-1.9, 0.02), 0.12, (0.0, 0.0))
    bright = scene.seen > 0.03 * scene.seen.max()
    truth = scene.ratio(scene.sharp, bright)
    assert scene.ratio(scene.seen, bright) < 0.85 * truth
    factor = scene.factor(bright)
    observed = scene.ratio(scene.seen, bright)
    assert factor.value * observed == pytest.approx(truth, rel=0.05)
    assert abs(factor.value * observed - truth) < 2 * factor.error * observed


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_smooth_magnification_needs_no_correction_in_any_unit(unit):
    scene = Scene(Isothermal(3.0, (-5.0, -3.0)), (-2.25, -1.4), 0.3, (0.4, 0.2))
    bright = scene.seen > 0.03 * scene.seen.max()
    factor = scene.factor(bright, image=unit * scene.seen)
    assert factor.value == pytest.approx(1, abs=0.01)
    assert factor.error < 0.01


def test_identity_has_factor_one_and_nothing_significant_too():
    scene = Scene(Isothermal(0.0, (-5.0, -3.0)), (0.0, 0.0), 0.3, (0.0, 0.0))
    assert scene.factor(scene.seen > 0.05 * scene.seen.max()).value == pytest.approx(1, abs=2e-3)
    empty = scene.factor(np.zeros(scene.seen.shape, bool))
    assert (empty.value, empty.error) == (1.0, 0.0)


def test_field_that_cuts_an_arc_counts_its_border_by_area():
    """A uniform field of a smooth lens: image over source area is the mean magnification, at any size of the field."""
    lens = Isothermal(3.0, (-5.0, -3.0))
    for size in (10, 20, 40):
        scene = Scene(lens, (-1.6, -1.0), 50.0, (0.8, 0.6), size=size)
        everywhere = np.ones(scene.sharp.shape, bool)
        truth = 1 / scene.inverse_mu.mean()
        assert scene.ratio(np.ones(scene.sharp.shape), everywhere) == pytest.approx(truth, rel=0.03)


def test_bad_spaxel_inside_the_field_takes_its_flux_from_both_planes():
    scene = Scene(Isothermal(3.0, (-5.0, -3.0)), (-2.25, -1.4), 0.3, (0.4, 0.2))
    bright = scene.seen > 0.03 * scene.seen.max()
    whole = scene.ratio(scene.seen, bright)
    image = scene.seen.copy()
    peak = np.unravel_index(np.argmax(image), image.shape)
    image[peak[0] - 5 : peak[0], peak[1] - 5 : peak[1]] = np.nan
    assert np.nansum(image) < 0.97 * scene.seen.sum()
    plane = scene.plane()
    counted = covered_fraction(plane, np.isfinite(image), bright & np.isfinite(image), scene.inverse_mu, scene.areas)
    source = counted @ (plane.operator @ scene.seen.ravel())
    assert np.nansum(image[bright]) / source == pytest.approx(whole, rel=0.01)
