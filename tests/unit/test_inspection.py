import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from cube_files import UNIT, header, voxels, write_kmos, write_primary

from klever.inspection.inputs import COLUMNS, inspect, write_inspection
from klever.inspection.lenses import deflection_slopes

FLUX, ERROR = voxels(800, 6, 5)
SCALE = 0.2  # arcsec per pixel of the lens maps
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "workflow/scripts/check_inputs.py"


def softened_lens(ny=80, nx=61, scale=SCALE):
    """Deflection (arcsec) and convergence of an elliptical potential b sqrt(s2 + q x2 + y2 / q), analytically."""
    y, x = (scale * (grid - (n - 1) / 2 - 0.3) for grid, n in zip(np.mgrid[:ny, :nx], (ny, nx), strict=True))
    b, q = 4.0, 0.8
    radius = np.sqrt(1.0 + q * x**2 + y**2 / q)
    kappa = 0.5 * b * ((q + 1 / q) / radius - (q**2 * x**2 + y**2 / q**2) / radius**3)
    return b * q * x / radius, b * y / q / radius, kappa


def write_lens(folder, x_sign=1.0, y_sign=1.0, kappa_factor=1.0, kind="arcsec", mirrored=False, scale=SCALE):
    alpha_x, alpha_y, kappa = softened_lens(scale=scale)
    unit = 1.0 if kind == "arcsec" else 1 / scale
    maps = {"x_deflection": x_sign * unit * alpha_x, "y_deflection": y_sign * unit * alpha_y}
    maps["kappa"] = kappa_factor * kappa
    step = scale / 3600
    cards = header(CTYPE3=None, CUNIT3=None, CRVAL3=None, CRPIX3=None, CD3_3=None, BUNIT=None,
                   CD1_1=step if mirrored else -step, CD2_2=step)  # fmt: skip
    request = {"lens": "cluster", "z_lens": 0.35, "normalisation": 1.0, "deflection_unit": "arcsec"}
    for name, data in maps.items():
        request[name] = str(folder / f"{name}.fits")
        fits.PrimaryHDU(data, cards).writeto(request[name], overwrite=True)
    return request


def only(request):
    (row,) = inspect([request])
    assert list(row) == list(COLUMNS)
    return row


def cube_request(path, **changes):
    return {"galaxy": "sp1", "band": "H", "instrument": "KMOS", "cube": str(path), "unit": "header", "z": 1.4} | changes


def test_good_cube(tmp_path):
    row = only(cube_request(write_kmos(tmp_path / "k.fits", FLUX, ERROR, CRVAL3=1.52), ra=150.0, dec=-30.0))
    assert row["band_coverage"] == pytest.approx(0.1598 / 0.39, rel=1e-3)
    assert row["state"] == "warning"  # a part of the band only
    assert row["lines"] == "NII6548 Halpha NII6584 SII6717 SII6731"  # 1.572-1.616 um at z = 1.4
    assert row["wavelength_min"] == pytest.approx(1.52)
    assert row["pixel_scale"] == pytest.approx(0.2)
    assert (row["parity"], row["error_extension"]) == ("standard", "OBJ.NOISE")
    assert (row["unit"], row["format"]) == (UNIT, "KMOS")


def test_lines_of_a_list_of_your_own_are_looked_for(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("lines: {FeII12570: {wavelength: 12570.2}}\ngroups: {fe: {lines: [FeII12570], main: FeII12570}}\n")
    cube = write_kmos(tmp_path / "k.fits", FLUX, ERROR, CRVAL3=1.45, CD3_3=5e-4)
    row = only(cube_request(cube, z=0.3, line_list=str(own)))
    assert (row["state"], row["lines"]) == ("ok", "FeII12570")  # at 1.634 um


def test_cube_over_the_whole_band_is_ok(tmp_path):
    row = only(cube_request(write_kmos(tmp_path / "k.fits", FLUX, ERROR, CRVAL3=1.45, CD3_3=5e-4)))
    assert (row["state"], row["message"]) == ("ok", "can be used")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": 9.0}, "no line falls"),
        ({"ra": 150.1, "dec": -30.0}, "outside the field"),
        ({"instrument": "SINFONI"}, "configured is SINFONI"),
    ],
)
def test_odd_cube_is_a_warning(tmp_path, changes, message):
    row = only(cube_request(write_kmos(tmp_path / "k.fits", FLUX, ERROR, CRVAL3=1.45, CD3_3=5e-4), **changes))
    assert row["state"] == "warning"
    assert message in row["message"]


def test_cube_without_error_and_mirrored_says_both(tmp_path):
    path = write_primary(tmp_path / "s.fits", FLUX, CRVAL3=1.45, CD3_3=5e-4, CD1_1=0.2 / 3600)
    row = only(cube_request(path, instrument="SINFONI"))
    assert (row["state"], row["parity"], row["error_extension"]) == ("warning", "mirrored", "estimated")
    assert "mirrored" in row["message"]
    assert "no error" in row["message"]


def test_the_first_problem_does_not_stop_the_rest(tmp_path):
    (tmp_path / "broken.fits").write_bytes(b"no")
    good = write_kmos(tmp_path / "k.fits", FLUX, ERROR, CRVAL3=1.45, CD3_3=5e-4)
    requests = [
        cube_request(tmp_path / "none.fits"),
        cube_request(tmp_path / "broken.fits"),
        cube_request(good, band="Q"),
        cube_request(good, instrument="OSIRIS"),
        cube_request(good, unit="adu"),
        {"galaxy": "incomplete", "cube": str(good)},
        {"lens": "nothing", "z_lens": 0.3},
        {"galaxy": "sp1", "image": str(tmp_path / "none.fits")},
        cube_request(good),
        cube_request("") | {"cube": None},
    ]
    rows = inspect(requests)
    assert [row["state"] for row in rows] == ["error"] * 8 + ["ok"] * 2
    assert [row["kind"] for row in rows] == ["cube"] * 6 + ["lens", "image"] + ["cube"] * 2
    texts = ["does not exist", "cannot be read", "no band Q", "instruments are KMOS", "unit", "report it", "no map",
             "does not exist", "can be used", "made by"]  # fmt: skip
    for row, text in zip(rows, texts, strict=True):
        assert text in row["message"]


def test_good_lens(tmp_path):
    row = only(write_lens(tmp_path))
    assert (row["state"], row["parity"]) == ("ok", "standard")
    assert row["pixel_scale"] == pytest.approx(SCALE)
    assert [row["deflection_slope_x"], row["deflection_slope_y"]] == pytest.approx([1, 1], abs=0.02)


@pytest.mark.parametrize(
    ("making", "state", "message"),
    [
        ({"x_sign": -1, "y_sign": -1}, "error", "set x_sign and y_sign"),
        ({"x_sign": -1}, "error", "set x_sign"),
        ({"y_sign": -1}, "error", "set y_sign"),
        ({"kind": "pixel"}, "error", "set deflection_unit: pixel"),
        ({"kappa_factor": 1 / 0.39}, "error", "kappa of the file is 2.56 times that of the deflection: normalisation?"),
        ({"kappa_factor": 1.15}, "warning", "kappa of the file is 1.15 times"),
        ({"mirrored": True}, "warning", "mirrored parity"),
    ],
)
def test_lens_problems(tmp_path, making, state, message):
    row = only(write_lens(tmp_path, **making))
    assert row["state"] == state
    assert message in row["message"]


def test_a_galaxy_in_front_of_its_lens_is_named(tmp_path):
    row = only(write_lens(tmp_path) | {"galaxies": {"far": 1.5, "near": 0.25}})
    assert row["state"] == "error"
    assert "near (z = 0.25) is not behind the lens" in row["message"] and "far" not in row["message"]


def test_lens_unit_and_sign_as_configured_are_ok(tmp_path):
    request = write_lens(tmp_path, kind="pixel", x_sign=-1) | {"deflection_unit": "pixel", "x_sign": -1}
    assert only(request)["state"] == "ok"
    row = only(request | {"deflection_unit": "arcsec"})
    assert "set deflection_unit: pixel" in row["message"]


def test_exchanged_deflections_are_an_error(tmp_path):
    request = write_lens(tmp_path)
    request["x_deflection"], request["y_deflection"] = request["y_deflection"], request["x_deflection"]
    assert "exchanged" in only(request)["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_lens": None}, "z_lens is None"),
        ({"normalisation": {"z_source": 0.2}}, "behind the lens"),
        ({"normalisation": -1}, "Dls/Ds"),
        ({"deflection_unit": "parsec"}, "arcsec or pixel"),
    ],
)
def test_lens_settings(tmp_path, changes, message):
    row = only(write_lens(tmp_path) | changes)
    assert row["state"] == "error"
    assert message in row["message"]


def test_lens_with_gaps_and_without_kappa(tmp_path):
    request = write_lens(tmp_path)
    with fits.open(request["kappa"], mode="update") as hdus:
        hdus[0].data[:30] = np.nan
    row = only(request)
    assert row["state"] == "ok"
    assert row["nan_fraction"] == pytest.approx(30 / 80)
    row = only(request | {"kappa": None})
    assert (row["state"], "no convergence" in row["message"]) == ("warning", True)


def test_lens_that_is_simulated_or_absent_is_ok():
    assert only({"lens": "ms2137", "z_lens": 0.3, "origin": "simulated", "kappa": "results/none.fits"})["state"] == "ok"
    assert only({"lens": "none", "origin": "none"})["state"] == "ok"


def test_slopes_of_structureless_maps_are_nan():
    nothing = np.zeros((20, 20))
    assert np.isnan(deflection_slopes(nothing, nothing, nothing)).all()
    assert np.isnan(deflection_slopes(nothing * np.nan, nothing, nothing + 1)).all()
    assert np.isnan(deflection_slopes(nothing[:2], nothing[:2], nothing[:2])).all()


def test_image(tmp_path):
    cards = header(nx=30, ny=20, CTYPE3=None, CUNIT3=None, CRVAL3=None, CRPIX3=None, CD3_3=None)
    data = np.ones((20, 30), np.float32)
    data[0] = np.nan
    fits.PrimaryHDU(data, cards).writeto(tmp_path / "hst.fits")
    row = only({"galaxy": "sp1", "image": str(tmp_path / "hst.fits"), "ra": 150.0, "dec": -30.0})
    assert (row["kind"], row["state"], row["unit"]) == ("image", "ok", UNIT)
    assert row["nan_fraction"] == pytest.approx(0.05)


def test_table_of_findings_is_written_and_repeats(tmp_path):
    from astropy.table import Table

    rows = inspect([cube_request(tmp_path / "none.fits"), write_lens(tmp_path)])
    for name in ("first.ecsv", "second.ecsv"):
        write_inspection(rows, tmp_path / name)
    table = Table.read(tmp_path / "first.ecsv")
    assert list(table["state"]) == ["error", "ok"]
    assert str(table["wavelength_min"].unit) == "um"
    assert (tmp_path / "first.ecsv").read_bytes() == (tmp_path / "second.ecsv").read_bytes()


def check(directory):
    command = [sys.executable, SCRIPT, "--directory", directory]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_check_of_the_shipped_survey_finds_nothing_wrong(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Configuration: 43 galaxies, nothing wrong." in done.stdout
    assert "131 ok (131 of them simulated by the workflow), 0 with warnings, 0 that cannot be used" in done.stdout


def test_check_of_no_survey_is_a_sentence(tmp_path):
    done = check(tmp_path / "none")
    assert done.returncode == 1 and "does not exist" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lines:\n\tsmoothing_fwhm: 0.4\n", "config/config.yaml: line 2: is not valid YAML"),
        ("lines: {window: 4000.0}\nlines: {window: 5000.0}\n", "line 2: lines: the key is given twice"),
    ],
)
def test_check_names_the_line_that_is_no_yaml(tmp_path, text, words):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(text)
    done = check(tmp_path)
    assert done.returncode == 1 and words in done.stdout and len(done.stdout.splitlines()) == 1


def test_check_opens_the_images_of_all_filters(tmp_path):
    config = tmp_path / "config"
    shutil.copytree(ROOT / "examples/cdfs294/config", config)
    (config / "lenses.yaml").write_text("none: {images: {F160W: one.fits, F814W: other.fits}}\n")
    write_primary(tmp_path / "cube.fits", voxels()[0])
    for name in ("one.fits", "other.fits"):
        (tmp_path / name).write_text("no FITS")
    rows = (config / "observations.tsv").read_text().splitlines()
    cells = dict(zip(rows[0].split("\t"), rows[1].split("\t"), strict=True)) | {"cube": "cube.fits"}
    (config / "observations.tsv").write_text("\t".join(cells) + "\n" + "\t".join(cells.values()) + "\n")
    done = check(tmp_path)
    assert "F160W image" in done.stdout and "F814W image" in done.stdout


def test_check_names_the_broken_file_and_the_misspelt_key(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "broken.fits").write_text("no FITS")
    table = tmp_path / "config/observations.tsv"
    table.write_text(table.read_text().replace("sp1\tH\tKMOS\tsimulated", "sp1\tH\tKMOS\tbroken.fits"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "error: sp1 H cube: " in done.stdout and "broken.fits" in done.stdout
    assert "1 that cannot be used" in done.stdout
    with (tmp_path / "config/config.yaml").open("a") as stream:
        stream.write("lines: {smothing_fwhm: 0.3}\n")
    done = check(tmp_path)
    assert done.returncode == 1
    assert "line" in done.stdout and "given twice" in done.stdout
