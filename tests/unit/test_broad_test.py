from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from klever.gas.broad_test import find_broad_line
from klever.spectral_lines import SPEED_OF_LIGHT, load_line_list

ROOT = Path(__file__).parents[2]
LINES = load_line_list(ROOT / "resources" / "lines.yaml")
OPTIONS = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["lines"]
Z, SIGMA_INSTRUMENT = 1.5, 1.7e-4
WAVELENGTH = np.linspace(1.456, 1.846, 2048)


def spectrum(path, broad_fwhm=None, broad_flux=3.0, narrow_flux=1.0, noise=15.0, seed=1, scale=1.0, broad_nii=False):
    """A pseudo-fibre spectrum: narrow Halpha, [N II] and [S II], and a broad component."""
    flux = np.full(WAVELENGTH.size, 30.0)

    def add(rest, strength, sigma_velocity):
        centre = rest * (1 + Z)
        sigma = np.hypot(centre * sigma_velocity / SPEED_OF_LIGHT, SIGMA_INSTRUMENT)
        flux[:] += strength / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((WAVELENGTH - centre) / sigma) ** 2)

    for rest, share in ((0.6564632, 1.0), (0.6585279, 0.3), (0.6549859, 0.1), (0.6718294, 0.15), (0.6732668, 0.12)):
        add(rest, narrow_flux * share, 70.0)
    if broad_fwhm:
        add(0.6564632, broad_flux, broad_fwhm / 2.3548)
    flux += np.random.default_rng(seed).normal(0, noise, flux.size)
    table = Table({"wavelength": WAVELENGTH, "flux": flux * scale, "error": np.full(flux.size, noise * scale),
                   "masked": np.zeros(flux.size, bool)})  # fmt: skip
    table.write(path, format="ascii.ecsv", overwrite=True)
    return path


def find(path, minimum_fwhm=1000.0, z=Z):
    return find_broad_line(path, LINES, SIGMA_INSTRUMENT, z, OPTIONS, minimum_fwhm)


@pytest.mark.parametrize("scale", [1e-17, 1e20])
def test_a_type_1_agn_is_found(tmp_path, scale):
    found = find(spectrum(tmp_path / "s.ecsv", broad_fwhm=3000.0, scale=scale))
    assert found.state == "broad"
    assert found.fwhm == pytest.approx(3000, abs=3 * found.fwhm_error)
    assert found.fraction == pytest.approx(0.75, abs=0.1)
    assert found.delta_ln_evidence > 20


def test_galaxies_without_a_broad_line_have_none(tmp_path):
    found = [find(spectrum(tmp_path / "s.ecsv", seed=seed)) for seed in range(8)]
    assert {item.state for item in found} == {"narrow"}
    assert all(np.isnan(item.fwhm) for item in found)


def test_a_second_component_that_is_not_broad_is_no_agn(tmp_path):
    path = spectrum(tmp_path / "s.ecsv", broad_fwhm=900.0, broad_flux=1.5)
    assert find(path).state == "narrow"
    assert find(path, minimum_fwhm=700.0).state == "broad"


def test_what_cannot_be_tested_says_so(tmp_path):
    assert find(spectrum(tmp_path / "s.ecsv", narrow_flux=0.0)).state == "not_tested"
    assert find(spectrum(tmp_path / "s.ecsv"), z=0.2).state == "not_tested"
    path = spectrum(tmp_path / "s.ecsv")
    table = Table.read(path, format="ascii.ecsv")
    table["masked"][:] = True
    table.write(path, format="ascii.ecsv", overwrite=True)
    assert find(path).state == "not_tested"
