"""Ray-tracing: conservation without a lens, magnification with one, sky coordinates, truth."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from astropy.table import Table
from test_simulation_galaxies import CALIBRATIONS, GALAXIES, make_row

from klever.errors import InputError
from klever_simulation.galaxies import component_from_row, read_rows
from klever_simulation.scene import Identity, Setting, offsets_of, place, render, render_continuum, sky_of
from klever_simulation.seen import seen_fluxes
from klever_simulation.truth import TRUTH, source_maps, truth_rows, weighted_slope

LINES = ["Hbeta", "OIII5007", "Halpha", "NII6584"]


@dataclass
class IsothermalSphere:
    """Singular isothermal sphere of unit Einstein radius, at the origin: mu and images are known in closed form."""

    ra: float = 150.0
    dec: float = 2.0
    z_lens: float = 0.4
    einstein_radius: float = 4.0

    def deflection(self, x, y, z_source):
        r = np.maximum(np.hypot(x, y), 1e-12)
        return self.einstein_radius * x / r, self.einstein_radius * y / r

    def magnification(self, x, y, z_source):
        return 1 / (1 - self.einstein_radius / np.maximum(np.hypot(x, y), 1e-12))


def setting_of(lens, source, image, size=8.0, field=None, rows=(None,)):
    components = [component_from_row(row or make_row(effective_radius_kpc=1.5), 2.0, *source, CALIBRATIONS, 1)
                  for row in rows]  # fmt: skip
    return Setting(lens, components, 2.0, source, image, field or image, size)


def total(rendered, line="Halpha", component=0):
    return rendered["lines"][component, LINES.index(line)].sum()


def test_without_a_lens_all_flux_is_kept():
    setting = setting_of(Identity(150.0, 2.0), (0.3, -0.2), (0.0, 0.0))
    rendered = render(setting, LINES, 0.05)
    component = setting.components[0]
    assert total(rendered) == pytest.approx(component.halpha_flux, rel=2e-3)
    assert rendered["continuum"].sum() == pytest.approx(component.continuum_flux, rel=5e-3)
    weight = rendered["lines"][0, 2]
    centre = (weight * rendered["x"]).sum() / weight.sum(), (weight * rendered["y"][:, None]).sum() / weight.sum()
    x, y = component.grid()
    truth = [np.average(axis, weights=component.halpha(x, y)) for axis in (x, y)]
    assert centre == pytest.approx(truth, abs=0.01)
    assert rendered["broad"].max() == 0


@pytest.mark.parametrize(("beta", "parity"), [(2.0, 1), (2.0, -1), (1.2, 1)])
def test_isothermal_sphere_magnifies_as_it_should(beta, parity):
    lens = IsothermalSphere()
    image = (beta + lens.einstein_radius, 0.0) if parity > 0 else (beta - lens.einstein_radius, 0.0)
    # a tiny source: its flux ratio is the point magnification theta / (theta - theta_E)
    row = make_row(effective_radius_kpc=0.6)
    setting = setting_of(lens, (beta, 0.0), image, size=3.0, rows=[row])
    seen = total(render(setting, LINES, 0.05)) / setting.components[0].halpha_flux
    assert seen == pytest.approx(abs(1 + parity * lens.einstein_radius / beta), rel=0.03)


def test_surface_brightness_is_conserved():
    lens = IsothermalSphere()
    setting = setting_of(lens, (1.0, 0.5), (4.0, 2.0), size=6.0)
    rendered = render(setting, LINES, 0.05)
    pixel = (rendered["x"][1] - rendered["x"][0]) ** 2
    x, y = setting.components[0].grid(half_size=2.0, n=2001)
    peak = setting.components[0].halpha(x, y).max()
    assert rendered["lines"][0, 2].max() / pixel == pytest.approx(peak, rel=0.1)
    assert rendered["lines"][0, 2].max() / pixel <= peak


def test_high_magnification_halves_the_grid():
    lens = IsothermalSphere()
    near, far = (setting_of(lens, (b, 0.0), (b + 4.0, 0.0), size=1.0) for b in (0.4, 12.0))
    assert np.diff(render(near, LINES, 0.05)["x"])[0] == pytest.approx(0.025)
    assert np.diff(render(far, LINES, 0.05)["x"])[0] == pytest.approx(0.05)


def test_rays_of_the_hst_image_agree_with_the_scene():
    setting = setting_of(IsothermalSphere(), (1.5, 0.5), (5.2, 1.5), size=5.0)
    rendered = render(setting, LINES, 0.05)
    assert render_continuum(setting, rendered["x"], rendered["y"]).sum() == pytest.approx(
        rendered["continuum"].sum(), rel=3e-3
    )


@pytest.mark.parametrize(("ra", "dec"), [(342.19, -44.51), (0.001, 2.0), (72.98, 0.1)])
def test_offsets_are_the_tan_projection(ra, dec):
    from astropy.wcs import WCS

    from klever_simulation.formats import celestial_header

    wcs = WCS(celestial_header(ra, dec, 1, 1, 1.0))
    x, y = 83.0, -41.0
    assert sky_of(x, y, ra, dec) == pytest.approx([float(v) for v in wcs.wcs_pix2world(x, y, 0)], abs=1e-9)
    assert offsets_of(*sky_of(x, y, ra, dec), ra, dec) == pytest.approx((x, y), abs=1e-6)


def test_catalogue_position_is_traced_when_the_lens_has_no_source(tmp_path):
    settings = {"galaxy": "sp3", "z": 1.2645, "ra": 325.060508, "dec": -23.654731, "lens": "none", "seed": 1,
                "components": read_rows(GALAXIES, "sp3")}  # fmt: skip
    setting = place(tmp_path / "unused.yaml", CALIBRATIONS, settings)
    assert setting.source == pytest.approx((0, 0)) and setting.image == pytest.approx((0, 0))
    with pytest.raises(InputError, match="not behind its lens"):
        place(tmp_path / "unused.yaml", CALIBRATIONS, {**settings, "z": 0.0})


def test_lens_of_the_file_places_the_galaxy(tmp_path):
    """A singular isothermal sphere of 3 arcsec: the catalogue position is traced radially inwards by 3 arcsec."""
    lenses = tmp_path / "lenses.yaml"
    sphere = "{type: power_law, x: 0, y: 0, einstein_radius: 3.0}"
    entry = f"{{ra: 325.06, dec: -23.65, z_lens: 0.3, z_reference: 2.0146, components: [{sphere}]"
    lenses.write_text(f"plain: {entry}}}\nfixed: {entry}, source: [0.5, 0.1], image: [3.5, 0.6]}}\n")
    ra, dec = sky_of(5.0, 0.0, 325.06, -23.65)
    settings = {"galaxy": "sp5", "z": 2.0146, "ra": ra, "dec": dec, "lens": "plain", "seed": 1,
                "components": read_rows(GALAXIES, "sp5")}  # fmt: skip
    setting = place(lenses, CALIBRATIONS, settings)
    assert setting.image == pytest.approx((5.0, 0.0), abs=1e-6) and setting.field == setting.image
    assert setting.source == pytest.approx((2.0, 0.0), abs=1e-5)
    assert (setting.components[0].x, setting.components[0].y) == pytest.approx(setting.source)
    fixed = place(lenses, CALIBRATIONS, {**settings, "lens": "fixed"})
    assert fixed.source == (0.5, 0.1) and fixed.image == (3.5, 0.6)


def test_weighted_slope_of_a_line():
    radius = np.linspace(0, 5, 30)
    assert weighted_slope(radius, 8.3 - 0.04 * radius, np.exp(-radius)) == pytest.approx(-0.04)


def test_truth_of_a_pair():
    rows = [make_row(component="north", north=0.1, v_sys=60.0), make_row(component="south", north=-0.1, sfr=5.0)]
    setting = setting_of(Identity(150.0, 2.0), (0.0, 0.0), (0.0, 0.0), rows=rows)
    table = Table(truth_rows(setting, render(setting, LINES, 0.05), LINES, "pair"))
    assert set(table.colnames) == {column.name for column in TRUTH}
    assert list(table["region"]) == ["all", "north", "south"]
    assert table["sfr"][0] == pytest.approx(25.0)
    assert table["halpha_flux"][0] == pytest.approx(table["halpha_flux"][1:].sum())
    assert np.isnan(table["slope_projected"][0]) and np.all(table["slope_projected"][1:] == 0.03)
    assert list(table["mu_halpha"]) == pytest.approx([1, 1, 1], abs=0.01)
    assert list(table["mu_whole"]) == pytest.approx([1, 1, 1], abs=0.01)
    assert (table["source_dec"][1] - table["source_dec"][2]) * 3600 == pytest.approx(0.2, abs=1e-6)


def test_magnification_of_a_galaxy_that_the_field_cuts_is_that_of_the_part_in_it():
    """On both sides of a cut through the lens and the galaxy mu is the same; over the whole galaxy it is half of it."""
    lens = IsothermalSphere()
    whole = setting_of(lens, (4.0, 0.0), (8.0, 0.0))
    cut = replace(whole, field=(whole.field[0], whole.field[1] + whole.field_size / 2))
    lensed, unlensed = seen_fluxes(whole, 0.0)
    half_lensed, half_unlensed = seen_fluxes(cut, 0.0)
    assert lensed / unlensed == pytest.approx(lens.magnification(8.0, 0.0, 2.0), rel=0.03)
    assert half_lensed / half_unlensed == pytest.approx(lensed / unlensed, rel=0.01)
    x, y = whole.components[0].grid()
    brightness = whole.components[0].halpha(x, y)
    share = np.where(y > 1e-9, brightness, 0.5 * brightness * (y > -1e-9)).sum() / brightness.sum()
    assert half_unlensed / unlensed == pytest.approx(share, rel=0.01)


def test_source_maps_hold_the_flux_and_the_metallicity():
    setting = setting_of(IsothermalSphere(), (1.0, 0.5), (4.6, 2.1))
    maps, component = source_maps(setting, "g"), setting.components[0]
    assert maps["HALPHA"].value.sum() * 0.02**2 == pytest.approx(component.halpha_flux, rel=0.02)
    mean = np.average(maps["LOG_OH"].value, weights=maps["HALPHA"].value)
    assert mean == pytest.approx(8.4, abs=2e-3)
    ra, dec = sky_of(1.0, 0.5, 150.0, 2.0)
    assert (maps.header["CRVAL1"], maps.header["CRVAL2"]) == pytest.approx((ra, dec), abs=1e-10)


def test_galaxy_step_is_deterministic(tmp_path):
    from simulate_galaxy import simulate_galaxy

    root = GALAXIES.parents[2]
    settings = {"galaxy": "sp5", "z": 2.0146, "ra": 325.051242, "dec": -23.658178, "lens": "none", "seed": 7,
                "fine_pixel_scale": 0.1, "noise_scale": 1.0, "components": read_rows(GALAXIES, "sp5")}  # fmt: skip
    seeing = {"H": {"instrument": "KMOS", "psf_fwhm": 0.5}, "K": {"instrument": "KMOS", "psf_fwhm": 0.4}}
    names = [f"hst_{band}.fits" for band in ("f435w", "f606w", "f814w", "f105w", "f125w", "f140w", "f160w")]
    outputs = []
    for run, bands in (("a", "HK"), ("b", "HK"), ("c", "K"), ("d", "")):
        folder = tmp_path / run
        folder.mkdir()
        simulate_galaxy(
            lens_parameters=folder / "none", line_list=root / "resources/lines.yaml",
            calibrations=root / "resources/calibrations.json", instruments=root / "resources/instruments.yaml",
            sky_lines=root / "resources/oh_lines_rousselot2000.dat", scene=folder / "scene.npz",
            source_truth=folder / "source_truth.fits", truth=folder / "truth.ecsv",
            hst_images=[folder / name for name in names], cubes=[folder / f"{band}.fits" for band in bands],
            cube_truths=[folder / f"{band}_truth.fits" for band in bands],
            settings=settings | {"bands": {band: seeing[band] for band in bands}},
        )  # fmt: skip
        outputs.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    whole = {*names, "scene.npz", "source_truth.fits", "truth.ecsv"}
    assert set(outputs[0]) == whole | {"H.fits", "K.fits", "H_truth.fits", "K_truth.fits"}
    assert set(outputs[3]) == whole
    assert outputs[0] == outputs[1]
    for fewer in outputs[2:]:  # nothing depends on which cubes are simulated
        assert fewer.items() <= outputs[0].items()
    from astropy.io import fits

    with fits.open(tmp_path / "a" / "hst_f160w.fits") as hdus:
        header, data = hdus[0].header, hdus[0].data
    assert header["SIMULATE"] is True and header["FILTER"] == "F160W" and "klever" in str(header["HISTORY"])
    border = np.concatenate([data[:15].ravel(), data[-15:].ravel()])
    assert border.std() == pytest.approx(header["SKYSIGMA"], rel=0.15)
    assert header["BUNIT"] == "erg s-1 cm-2 um-1"
