"""Profiles of a galaxy: centres, regions, apertures, and what is refused."""

import numpy as np
import pytest
from astropy.io import fits

from klever.errors import ConfigError, InputError
from klever.gradient.profiles import measure_profiles
from klever.maps import Flag, Map, MapSet

SCALE, KPC = 0.065, 8.5
PSF = (0.4, 0.3, 30.0)
GRADIENT = {"apertures": ["elliptical", "circular"], "step": 0.5, "minimum_coverage": 0.2, "centre": "auto",
            "regions": {}}  # fmt: skip


def blob(shape, x, y, fwhm=6.0):
    rows, columns = np.indices(shape)
    return np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / fwhm**2)


def galaxy(shape=(61, 75), centre=(40.0, 28.0), continuum=True, extent=20):
    header = fits.Header({"PIXSCALE": SCALE, "KPC_ARC": KPC, "XC": 37.0, "YC": 30.0})
    good = np.zeros(shape, np.uint16)
    source = MapSet(header=header)
    source["HALPHA"] = Map(blob(shape, 30, 30, 20), np.full(shape, 0.01), good)
    source["CONTINUUM_K"] = Map(blob(shape, 20, 20, 20), np.full(shape, 0.01), good)
    if continuum:
        source["CONTINUUM_H"] = Map(blob(shape, *centre, 10), np.full(shape, 0.01), good)
    rows, columns = np.indices(shape)
    radius = np.hypot(columns - centre[0], rows - centre[1])
    log_oh = np.where(radius <= extent, 8.5 - 0.01 * radius, np.nan)
    flags = np.where(np.isfinite(log_oh), 0, int(Flag.NOT_DETECTED)).astype(np.uint16)
    abundance = MapSet(header=header.copy())
    abundance["LOG_OH"] = Map(log_oh, np.full(shape, 0.1), flags, "dex")
    return source, abundance


def profiles(maps, psf=PSF, centres=None, discs=None, **changes):
    return measure_profiles(*maps, psf, GRADIENT | changes, centres=centres, discs=discs)


def test_both_apertures_about_the_continuum_in_kpc():
    elliptical, circular = profiles(galaxy())
    assert (elliptical.aperture, circular.aperture, circular.region) == ("elliptical", "circular", "all")
    assert circular.centre == "continuum"
    assert (circular.ellipse.x, circular.ellipse.y) == pytest.approx((40, 28), abs=0.1)
    assert elliptical.ellipse.axis_ratio == pytest.approx(0.75) and circular.ellipse.axis_ratio == 1
    step = [item.outer * circular.kpc for item in circular.annuli]
    np.testing.assert_allclose(np.diff(step), 0.5 * np.sqrt(0.4 * 0.3) * KPC)
    slope = np.polyfit(circular.radius_kpc, circular.log_oh, 1)[0]
    assert slope == pytest.approx(-0.01 / (SCALE * KPC), rel=5e-3)  # the centre is measured, not given


def test_a_given_centre_is_taken_and_a_disc_has_the_radius_of_its_major_axis():
    only = {"centres": {"all": ("given", 40.0, 28.0)}, "apertures": ["circular"]}
    (given,) = profiles(galaxy(), **only)
    assert given.centre == "given" and (given.ellipse.x, given.ellipse.y) == (40.0, 28.0)
    (disc,) = profiles(galaxy(), discs={"all": (0.25, 30.0)}, **(only | {"apertures": ["deprojected"]}))
    assert disc.kpc == pytest.approx(2 * given.kpc)
    assert profiles(galaxy(), discs={}, apertures=["deprojected"]) == []


def test_a_round_psf_makes_both_apertures_the_same():
    elliptical, circular = profiles(galaxy(), psf=(0.35, 0.35, 77.0))
    np.testing.assert_allclose(elliptical.radius_kpc, circular.radius_kpc, rtol=1e-10)
    np.testing.assert_allclose(elliptical.log_oh, circular.log_oh, rtol=1e-12)


def test_a_psf_narrower_than_a_pixel_counts_as_a_pixel():
    """On a critical line the minor axis vanishes; annuli of its size would be 1e5 in a pixel."""
    degenerate = profiles(galaxy(), psf=(0.4, 1e-13, 30.0))
    pixel = profiles(galaxy(), psf=(0.4, SCALE, 30.0))
    for one, other in zip(degenerate, pixel, strict=True):
        assert one.ellipse == other.ellipse and len(one.annuli) > 3
        np.testing.assert_array_equal(one.log_oh, other.log_oh)


def test_halpha_is_the_centre_without_continuum_and_oiii_without_halpha():
    source, abundance = galaxy(continuum=False)
    found = profiles((source, abundance))[0]
    assert found.centre == "halpha" and (found.ellipse.x, found.ellipse.y) == pytest.approx((30, 30), abs=0.1)
    source["OIII5007"] = source.maps.pop("HALPHA")
    assert profiles((source, abundance))[0].centre == "oiii5007"


def test_the_brightest_pixel_of_the_line_where_no_peak_stands_out():
    source, abundance = galaxy(continuum=False)
    source["HALPHA"].value = np.broadcast_to(np.linspace(0.1, 1, 75), (61, 75)).copy()  # rising beyond the map's edge
    brightest = np.indices((61, 75))[1][np.isfinite(abundance["LOG_OH"].value)].max()
    found = profiles((source, abundance))[0]
    assert found.centre == "halpha" and abs(found.ellipse.x - brightest) < 2
    abundance["LOG_OH"].value[:] = np.nan
    abundance["LOG_OH"].value[30, 40] = 8.4  # a single pixel
    found = profiles((source, abundance))
    assert (found[0].ellipse.x, found[0].ellipse.y) == (40.0, 30.0)
    assert all(len(item.annuli) <= 1 for item in found)


def test_the_centre_can_be_told_and_must_be_there():
    assert profiles(galaxy(), centre="halpha")[0].centre == "halpha"
    with pytest.raises(ConfigError, match=r"gradient\.centre: continuum has no peak"):
        profiles(galaxy(continuum=False), centre="continuum")


def test_regions_share_the_pixels_and_have_centres_of_their_own():
    source, abundance = galaxy(extent=28)
    # two knots, 8 pixels north-west and south-east of the reference pixel (37, 30)
    source["CONTINUUM_H"].value = blob((61, 75), 45, 38, 8) + blob((61, 75), 29, 22, 8)
    offset = 8 * SCALE
    regions = {"north": {"east": -offset, "north": offset}, "south": {"east": offset, "north": -offset}}
    found = profiles((source, abundance), regions=regions, minimum_coverage=1e-9, apertures=["circular"])
    assert [item.region for item in found] == ["north", "south"]
    assert (found[0].ellipse.x, found[0].ellipse.y) == pytest.approx((45, 38), abs=0.2)
    assert (found[1].ellipse.x, found[1].ellipse.y) == pytest.approx((29, 22), abs=0.2)
    weight = sum(ring.weight for item in found for ring in item.annuli)
    assert weight == pytest.approx(np.isfinite(abundance["LOG_OH"].value).sum(), rel=1e-6)


def test_annuli_hold_the_fractions_their_means_are_made_of():
    _, abundance = maps = galaxy()
    for profile in profiles(maps):
        for ring in profile.annuli:
            values = abundance["LOG_OH"].value.ravel()[ring.pixels]
            assert np.average(values, weights=ring.fractions) == pytest.approx(ring.log_oh)
            assert ring.fractions.sum() == pytest.approx(ring.weight) and len(ring.pixels) == ring.n_pixels
            assert ring.fractions.min() > 0 and ring.fractions.max() <= 1


def test_nothing_measured_and_damaged_headers():
    source, abundance = galaxy()
    del source.header["PIXSCALE"]
    with pytest.raises(InputError, match="PIXSCALE"):
        profiles((source, abundance))
    source, abundance = galaxy()
    abundance["LOG_OH"].value[:] = np.nan
    assert profiles((source, abundance)) == []
