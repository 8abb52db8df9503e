"""Telluric and flux calibration, cosmic rays, SINFONI, the files and the table of exposures."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from scipy import sparse

from klever.config.exposures import read_exposures
from klever.config.schema import Problems
from klever.errors import InputError
from klever.grids import tangent_header
from klever.inspection.exposures import inspect_exposures
from klever.inspection.inputs import inspect
from klever.reduce.arms import star_ifus, target_ifus
from klever.reduce.combine import combine_exposures
from klever.reduce.cosmicrays import flag_pair
from klever.reduce.frames import detector_of, nearest_sky, read_frame, read_ifu
from klever.reduce.pointing import load_pointing, reduce_target
from klever.reduce.sinfoni import SinfoniExposure, measure_noise, noise_of, photon_error, read_sinfoni, reduce_sinfoni
from klever.reduce.sinfonifield import read_field, standard_counts
from klever.reduce.slices import clean_slices
from klever.reduce.staralign import solve_alignment
from klever.reduce.telluric import (
    Calibration,
    calibrate,
    doubts,
    hydrogen_lines,
    remove_hydrogen,
    stellar_flux,
    vega_flux,
)
from klever_simulation.exposure_files import (
    field_position,
    sky_position,
    write_exposure,
    write_sinfoni_exposure,
)
from klever_simulation.exposures import Instrument, Sky, State, Target, atmosphere, expose, moffat_image, response
from klever_simulation.standards import standard_spectrum

ROOT = Path(__file__).parents[2]
H = Instrument("H", (1.456, 1.846), 4045)
GAIN = 2.4  # electrons per count
SINFONI = {
    "sinfoni_noise": "measured", "sinfoni_pixel_scale": 0.125, "pixfrac": 0.6, "cosmic_ray_sigma": 8.0,
    "stretch_degree": 5, "rotational": True, "clip_sigma": 3.0,
}  # fmt: skip
KMOS = {
    "cosmic_ray_sigma": 8.0, "stretch_degree": 3, "rotational": False, "pixel_scale": 0.1, "pixfrac": 0.6,
    "clip_sigma": 3.0, "alignment": "detector",
}  # fmt: skip
SMALL = Instrument("H", (1.5, 1.6), 4045, n_spaxel=6, n_wave=256)
OH = np.loadtxt(ROOT / "resources/oh_lines_rousselot2000.dat")


@pytest.mark.parametrize("band", ["YJ", "H", "K"])
def test_calibration_of_a_star_with_hydrogen_lines(band):
    ranges = {"YJ": ((1.025, 1.344), 3582), "H": ((1.456, 1.846), 4045), "K": ((1.92, 2.46), 4227)}
    instrument = Instrument(band, *ranges[band])
    truth = response(instrument) * atmosphere(instrument.wavelength)
    rng = np.random.default_rng(1)
    counts = standard_spectrum(instrument, 9600, 8.0) * truth * (1 + 0.003 * rng.standard_normal(instrument.n_wave))
    result = calibrate(instrument.wavelength, counts, 9600, 8.0, band)
    ratio = result.factor * truth
    clear = np.isfinite(ratio) & (atmosphere(instrument.wavelength) > 0.3)
    assert np.median(ratio[clear]) == pytest.approx(1, abs=0.02)
    assert np.quantile(np.abs(ratio[clear] - 1), 0.9) < 0.04
    assert result.removed
    assert 0.9 < np.quantile(result.transmission, 0.99) < 1.15


def test_a_star_without_hydrogen_lines_keeps_its_spectrum():
    spectrum = 1e5 * (1 + 0.1 * (H.wavelength - 1.6))
    cleaned, removed = remove_hydrogen(H.wavelength, spectrum)
    assert not removed
    assert np.array_equal(cleaned, spectrum)


def test_hydrogen_lines_are_where_they_are():
    lines = dict(hydrogen_lines(1.0, 2.4))
    assert lines["H 5-3"] == pytest.approx(1.28216, abs=2e-5)
    assert lines["H 7-4"] == pytest.approx(2.16612, abs=2e-5)


def test_units_of_the_standard():
    assert stellar_flux(H.wavelength, 9600.0)[H.n_wave // 2] == 1
    assert vega_flux("YJ")[0] == 1.235
    with pytest.raises(InputError, match="no zero point"):
        vega_flux("L")
    with pytest.raises(InputError, match="no counts"):
        calibrate(H.wavelength, np.zeros(H.n_wave), 9600, 8.0, "H")


def test_hits_in_exposure_and_sky_are_told_apart():
    rng = np.random.default_rng(2)
    lines = 50 * (rng.random(300) > 0.8)[:, None, None]
    flux, sky = (lines + rng.standard_normal((300, 10, 10)) for _ in range(2))
    error, sky_error = np.ones_like(flux), np.ones_like(sky)
    flux[100, 4, 4] += 200
    sky[200, 6, 5] += 200
    assert flag_pair(flux, error, sky, sky_error) == (1, 1)
    assert np.isnan(flux[100, 4, 4])
    assert np.isnan(sky[200, 6, 5])
    assert np.isfinite(flux).sum() == flux.size - 1


def test_slices_lose_cosmic_rays_and_keep_lines():
    pytest.importorskip("astroscrappy")
    rng = np.random.default_rng(5)
    cube = 200 + 15 * rng.standard_normal((256, 8, 32))
    cube[100:102] += 5000  # a sky line
    source = 400 * np.exp(-0.5 * ((np.arange(256) - 180) / 2.0) ** 2)[:, None, None]
    source = source * moffat_image(32, 0.25, (0.0, 0.0), 1.2)[12:20] / moffat_image(32, 0.25, (0.0, 0.0), 1.2).max()
    cube += source
    hits = np.stack([rng.integers(5, 250, 40), rng.integers(0, 8, 40), rng.integers(2, 30, 40)], axis=1)
    dirty = cube.copy()
    dirty[tuple(hits.T)] += 3000
    dirty[:, 0, 0] = np.nan
    cleaned, hit = clean_slices(dirty, gain=1.0, read_noise=5.0)
    found = hit[tuple(hits.T)]
    on_line = np.isin(hits[:, 0], range(98, 104))
    assert found[~on_line].mean() > 0.95
    assert hit.sum() < 40 + 30
    assert not hit[176:185, 3:5, 15:17].any()
    assert np.isnan(cleaned[:, 0, 0]).all()


@pytest.fixture(scope="module")
def exposure_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exposures")
    sky = Sky(SMALL, (OH[:, 0] * 1e-4, OH[:, 1]))
    targets = [Target(2, "star1", (10.0, 20.0), "star"), Target(5, "sp1", (-30.0, 5.0), "galaxy")]
    paths = []
    for number, kind in enumerate("OSO"):
        paths.append(str(folder / f"{number}.fits"))
        write_exposure(paths[-1], SMALL, sky, targets, State(number, kind, 400.0 * number), (150.0, 2.0), 300.0, 1)
    return paths


def test_exposures_are_read_as_they_were_written(exposure_files):
    frames = [read_frame(path) for path in exposure_files]
    assert frames[0].targets == {2: "star1", 5: "sp1"}
    assert [frame.is_sky(5) for frame in frames] == [False, True, False]
    assert nearest_sky(frames, frames[2], 5).path == exposure_files[1]
    assert [detector_of(ifu) for ifu in (1, 8, 9, 16, 17, 24)] == [1, 1, 2, 2, 3, 3]
    flux, error, wavelength, header = read_ifu(exposure_files[0], 5)
    assert flux.shape == error.shape == (256, 6, 6)
    assert np.allclose(wavelength, SMALL.wavelength)
    west, north = field_position((150.0, 2.0), header["CRVAL1"], header["CRVAL2"])
    assert (west, north) == pytest.approx((-30.0, 5.0), abs=1e-6)
    assert field_position((150.0, 2.0), *sky_position((150.0, 2.0), 7.0, -3.0)) == pytest.approx((7.0, -3.0))


def test_broken_exposures_are_told(exposure_files, tmp_path):
    with pytest.raises(InputError, match="no cube in"):
        read_ifu(exposure_files[0], 7)
    with pytest.raises(InputError, match="add the sky"):
        nearest_sky([read_frame(exposure_files[0])], read_frame(exposure_files[0]), 5)
    with pytest.raises(InputError, match="none of the 1 exposures"):
        load_pointing(exposure_files[1:2])
    with pytest.raises(InputError, match="points at the star 'star9'"):
        star_ifus(load_pointing(exposure_files), ["star9"])
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(InputError, match="cannot be read"):
        read_frame(tmp_path / "text.fits")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="holds no cube"):
        read_frame(tmp_path / "image.fits")
    with pytest.raises(InputError, match="no cube in its primary"):
        read_sinfoni(tmp_path / "image.fits")


@pytest.mark.parametrize("harm", ["truncated", "absurd", "gone"])
def test_damaged_exposures_are_told(exposure_files, tmp_path, harm):
    kmos, sinfoni = tmp_path / "kmos.fits", tmp_path / "sinfoni.fits"
    kmos.write_bytes(Path(exposure_files[0]).read_bytes())
    cube = fits.PrimaryHDU(np.ones((300, 8, 8), np.float32), fits.Header({"CRVAL3": 1.5, "CDELT3": 0.001, "CRPIX3": 1}))
    cube.writeto(sinfoni)
    for path in (kmos, sinfoni):
        whole = path.read_bytes()
        if harm == "truncated":
            path.write_bytes(whole[: 2880 + len(whole) // 8])
        elif harm == "absurd":
            path.write_bytes(re.sub(rb"NAXIS3  = {1,30}(256|300)", b"NAXIS3  =  99999999999999999999", whole))
        else:
            path.unlink()
    with pytest.raises(InputError, match=r"sinfoni\.fits"):
        read_sinfoni(sinfoni)
    with pytest.raises(InputError, match=r"kmos\.fits"):
        read_ifu(kmos, 5)


def test_pointing_is_inspected_before_its_reduction(exposure_files, tmp_path):
    request = {
        "pointing": "p1", "band": "H", "instrument": "KMOS", "exposures": exposure_files, "standard": [],
        "galaxies": ["sp1"], "stars": ["star1"],
    }  # fmt: skip
    _, errors, warnings = inspect_exposures(request)
    assert not errors
    assert any("too few to clip" in text for text in warnings)
    assert any("stay in counts" in text for text in warnings)
    for change, problem in (
        ({"galaxies": ["sp9"]}, "no arm with data points at 'sp9'"), ({"stars": ["sp9"]}, "points at the star 'sp9'"),
        ({"exposures": exposure_files[::2]}, "add the sky"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=problem):
            inspect_exposures(request | change)
    moved = [tmp_path / Path(path).name for path in exposure_files]
    for path, copy in zip(exposure_files, moved, strict=True):
        copy.write_bytes(Path(path).read_bytes())
    fits.setval(moved[2], "HIERARCH ESO OCS ARM5 NAME", value="sp3")
    with pytest.raises(InputError, match=r"IFU 5 points at 'sp1' in .* but at 'sp3'"):
        inspect_exposures(request | {"exposures": moved})
    with fits.open(moved[2], mode="update") as hdus:
        hdus[0].header["HIERARCH ESO OCS ARM5 NAME"] = "sp1"
        del hdus["IFU.5.NOISE"]
    with pytest.raises(InputError, match=r"no cube in IFU.5.NOISE \(sp1\)"):
        inspect_exposures(request | {"exposures": moved})
    fits.setval(moved[2], "HIERARCH ESO INS GRAT1 ID", value="K")
    assert inspect_exposures(request | {"exposures": None}) == ({}, [], [])
    rows = inspect([request | {"exposures": exposure_files[1:2]}])
    assert (rows[0]["state"], rows[0]["kind"], rows[0]["name"]) == ("error", "exposures", "p1")


def changed(paths, folder, numbers, change):
    """Copies of exposures, some of them changed."""
    result = []
    for number, path in enumerate(paths):
        copy = folder / Path(path).name
        with fits.open(path) as hdus:
            own = fits.HDUList([hdu.copy() for hdu in hdus])
        if number in numbers:
            for hdu in own[1:]:
                change(hdu)
        own.writeto(copy)
        result.append(str(copy))
    return result


def test_an_exposure_that_is_there_twice_is_refused(exposure_files, tmp_path):
    copy = tmp_path / "copy.fits"
    copy.write_bytes(Path(exposure_files[2]).read_bytes())
    with pytest.raises(InputError, match=r"2\.fits and .*copy\.fits have the same MJD-OBS: they are one exposure"):
        load_pointing([*exposure_files, copy])


@pytest.mark.parametrize("numbers", [(0,), (1, 2)])
@pytest.mark.parametrize("how", ["shifted", "cut"])
def test_exposures_on_other_channels_are_refused(exposure_files, tmp_path, numbers, how):
    def change(hdu):
        if how == "shifted":
            hdu.header["CRVAL3"] += 0.5 * hdu.header["CDELT3"]
        else:
            hdu.data = hdu.data[:200]

    paths = changed(exposure_files, tmp_path, numbers, change)
    request = {"pointing": "p1", "band": "H", "instrument": "KMOS", "exposures": paths, "standard": [],
               "galaxies": ["sp1"], "stars": ["star1"]}  # fmt: skip
    with pytest.raises(InputError, match="have different channels"):
        inspect_exposures(request)
    pointing = load_pointing(paths)
    pointing.alignments = solve_alignment([], len(pointing.objects))
    with pytest.raises(InputError, match="have different channels"):
        reduce_target(pointing, 5, None, KMOS)
    with pytest.raises(InputError, match="have different channels"):  # the standard star's
        inspect_exposures(request | {"exposures": exposure_files, "standard": paths})


def test_an_exposure_without_data_is_left_out(exposure_files, tmp_path, caplog):
    def empty(hdu):
        hdu.data[...] = np.nan

    pointing = load_pointing(changed(exposure_files, tmp_path, (2,), empty))
    pointing.alignments = solve_alignment([], len(pointing.objects))
    made = reduce_target(pointing, 5, None, KMOS)
    assert made.cube.exposures.max() == 1
    assert "2.fits has no data in IFU 5, or its sky has none; it is left out" in caplog.text
    folder = tmp_path / "all"
    folder.mkdir()
    pointing = load_pointing(changed(exposure_files, folder, (0, 1, 2), empty))
    pointing.alignments = solve_alignment([], len(pointing.objects))
    with pytest.raises(InputError, match="no exposure has data of IFU 5"):
        reduce_target(pointing, 5, None, KMOS)


def test_an_arm_may_be_off_in_the_first_exposure(exposure_files, tmp_path):
    def off(hdu):
        if hdu.name.startswith("IFU.5."):
            hdu.data = None

    pointing = load_pointing(changed(exposure_files, tmp_path, (0,), off))
    assert target_ifus(pointing, ["sp1", "star1"]) == {"sp1": 5, "star1": 2}


def test_more_exposures_than_a_byte_counts():
    operator = sparse.identity(4, format="csr")
    cube = np.ones((1, 2, 2), np.float32)
    made = combine_exposures([operator] * 300, [cube] * 300, [cube] * 300, 1.0, (2, 2), [1.0] * 300)
    assert made.exposures.max() == 300
    assert made.error == pytest.approx(300**-0.5)


def test_doubts_about_a_standard_star():
    def calibration(width):
        return Calibration(None, None, None, 27.0, [("H 12-4", width)])

    assert doubts(calibration(0.65), 9600.0, 0.004) == []
    assert "saturated, cut off by the field, or double" in doubts(calibration(0.65), 9600.0, 0.06)[0]
    assert "has hydrogen lines, here the strongest has 0.10 nm" in doubts(calibration(0.1), 9600.0, 0.004)[0]
    assert "lines of its own" in doubts(calibration(0.3), 5800.0, 0.004)[0]
    assert doubts(Calibration(None, None, None, 27.0, []), 20000.0, 0.004) == []


def test_sky_of_another_integration_time():
    """Counts of SINFONI are of one integration: a sky of half the time is doubled before it is subtracted."""
    pytest.importorskip("astroscrappy")
    instrument = Instrument("H", (1.55, 1.65), 3000, n_spaxel=12, spaxel=0.25, n_wave=512)
    sky, header = Sky(instrument, (OH[:, 0] * 1e-4, OH[:, 1])), tangent_header(72.99, 0.1, 0.25, (5.5, 5.5))
    exposures = {}
    for number, (kind, seconds) in enumerate((("O", 600.0), ("S", 300.0))):
        rate, _, _ = expose(instrument, sky, Target(1, "blank", (0.0, 0.0), "sky"), State(number, kind, 700.0 * number),
                            seconds, 4, cosmic_rays=0)  # fmt: skip
        counts = (rate * seconds / GAIN).astype(np.float32)
        exposures[kind] = [SinfoniExposure(counts, instrument.wavelength, header, 0.01 * number, seconds, 1, kind)]
    given = SINFONI | {"sinfoni_noise": {"gain": GAIN, "read_noise": 5.0}}
    made = reduce_sinfoni(exposures["O"], exposures["S"], None, given)
    inner = (made.cube.flux / made.cube.error)[:, 6:-6, 6:-6]
    assert np.nanmean(inner) == pytest.approx(0, abs=0.05)
    assert np.nanstd(inner) == pytest.approx(1, abs=0.15)
    with pytest.raises(InputError, match="has a sky of the same DIT"):
        reduce_sinfoni(exposures["O"], exposures["S"], None, SINFONI)


def test_sinfoni_target_from_exposures_to_cube():
    """One line of a compact source: its flux with cosmic rays, photon noise on sky lines, gain and read noise."""
    pytest.importorskip("astroscrappy")
    instrument = Instrument("H", (1.5, 1.65), 3000, n_spaxel=16, spaxel=0.25, n_wave=768)
    sky = Sky(instrument, (OH[:, 0] * 1e-4, OH[:, 1]))
    wavelength = instrument.wavelength
    profile = 1.5e-15 * np.exp(-0.5 * ((wavelength - 1.5735) / 4e-4) ** 2) / (np.sqrt(2 * np.pi) * 4e-4)

    def flux(west, north, fwhm):
        return profile[:, None, None] * moffat_image(16, 0.25, (-west, -north), fwhm)

    target = Target(1, "arc", (0.0, 0.0), "galaxy", flux)
    clear = np.ones(768)
    exposures = {"O": [], "S": []}
    for number, kind in enumerate("OSOOSO"):
        state = State(number, kind, 400.0 * number, dither=(0.1 * number - 0.25, 0.3 - 0.11 * number), seeing=0.6,
                      groups=1 + 0.05 * np.random.default_rng(number).standard_normal(14))  # fmt: skip
        rate, _, _ = expose(instrument, sky, target, state, 600.0, 4, transmission=clear, cosmic_rays=20)
        ra, dec = sky_position((72.99, 0.1), *state.dither)
        header = tangent_header(ra, dec, 0.25, (7.5, 7.5))
        counts = (rate * 600.0 / GAIN).astype(np.float32)
        exposures[kind].append(SinfoniExposure(counts, wavelength, header, state.time / 86400, 600.0))
    protected = np.abs(wavelength - 1.5735) < 2e-3
    made = reduce_sinfoni(exposures["O"], exposures["S"], GAIN / response(instrument), SINFONI, protected)
    cube = made.cube
    assert made.gain == pytest.approx(GAIN, rel=0.05)
    assert made.read_noise == pytest.approx(5.0, abs=2.0)
    assert cube.exposure_map.max() == pytest.approx(2400.0, rel=0.02)
    assert min(made.hits) >= 10
    step = wavelength[1] - wavelength[0]
    total = np.nansum(cube.flux[protected][:, 8:-8, 8:-8]) * step
    assert total == pytest.approx(1.5e-15, rel=0.05)
    assert np.nanmax(np.abs((cube.flux / cube.error)[:, 10:-10, 10:-10][~protected])) < 7
    for fit in made.sky_fits:
        for row in fit.groups:
            if row["channels"] > 60:
                assert row["after"] < 1.3 * row["expected"]
    with pytest.raises(InputError, match="no sky exposure"):
        reduce_sinfoni(exposures["O"], [], None, SINFONI)
    given = SINFONI | {"sinfoni_noise": {"gain": 3.0, "read_noise": 8.0}}
    assert noise_of(exposures["O"], exposures["S"], given) == (3.0, 8.0)


def test_photon_error():
    assert photon_error(np.array([100.0, -5.0]), 2.0, 3.0) == pytest.approx([np.sqrt(209) / 2, 1.5])


OBSERVED = {"sp1": {"H": {"instrument": "KMOS"}}, "arc": {"H": {"instrument": "SINFONI"}}}
HEADER = "pointing\tband\texposures\tstandard\tgalaxies\tstars\n"


def pointings(tmp_path, rows, start="exposures"):
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config/exposures.tsv").write_text(HEADER + rows)
    problems = Problems([])
    settings = {"reduce": {"start": start, "table": "exposures.tsv"}}
    return read_exposures(settings, tmp_path, ROOT / "workflow/schemas", OBSERVED, problems), list(problems)


def test_table_of_exposures(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("b.fits", "a.fits"):
        (tmp_path / "raw" / name).touch()
    found, problems = pointings(tmp_path, "p1\tH\traw/*.fits\t-\tsp1\ts1, s2\n")
    assert not problems
    entry = found["p1", "H"]
    assert entry["exposures"] == ["raw/a.fits", "raw/b.fits"]
    assert (entry["standard"], entry["galaxies"], entry["stars"]) == ([], ["sp1"], ["s1", "s2"])
    assert pointings(tmp_path, "", start="cubes") == ({}, [])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("p1\tH\tnone/*.fits\t-\tsp1\ts1\n", "no file matches"),
        ("p1\tH\tsimulated\tsimulated\tsp9\ts1\n", "no galaxy 'sp9'"),
        ("p1\tK\tsimulated\tsimulated\tsp1\ts1\n", "no band 'K'"),
        ("p1\tH\tsimulated\tsimulated\tarc\ts1\n", "of SINFONI in the table of observations, not of KMOS"),
        ("p1\tH\tsimulated\tsimulated\tsp1\t-\n", "alignment stars"),
        ("p1\tH\tsimulated\tsimulated\tsp1\tsp1\n", "is a galaxy of the pointing, too"),
        ("p1\tJ\tsimulated\tsimulated\tsp1\ts1\n", "KMOS has no band J"),
        ("p1\tH\tsimulated\t-\tsp1\ts1\n", "both be simulated"),
        ("p1\tH\tsimulated\tsimulated\tsp1\ts1\n" * 2, "twice"),
        ("p1\tH\tsimulated\tsimulated\tsp1\ts1\np2\tH\tsimulated\tsimulated\tsp1\ts1\n", "comes from one"),
        ("", "has no pointings"),
    ],
)
def test_problems_of_the_table_are_told(tmp_path, row, problem):
    _, problems = pointings(tmp_path, row)
    assert any(problem in text for text in problems), problems


def test_shipped_table_names_stars_and_galaxies_of_the_survey():
    lines = (ROOT / "config/exposures.tsv").read_text().splitlines()
    columns = lines[0].split("\t")
    schema = yaml.safe_load((ROOT / "workflow/schemas/exposures.schema.yaml").read_text())
    assert set(columns) == set(schema["properties"])
    assert {row.split("\t")[columns.index("instrument")] for row in lines[1:]} == {"KMOS", "SINFONI"}


@pytest.mark.parametrize(
    ("galaxies", "stars", "problem"), [("arc", "s1", "no alignment stars"), ("arc,arc2", "-", "a row each")]
)
def test_a_field_of_sinfoni_has_one_galaxy_and_no_star(tmp_path, galaxies, stars, problem):
    (tmp_path / "config").mkdir()
    header = "pointing\tband\tinstrument\texposures\tstandard\tgalaxies\tstars\n"
    row = f"a\tH\tSINFONI\tsimulated\tsimulated\t{galaxies}\t{stars}\n"
    (tmp_path / "config/exposures.tsv").write_text(header + row)
    problems = Problems([])
    settings = {"reduce": {"start": "exposures", "table": "exposures.tsv"}}
    read_exposures(settings, tmp_path, ROOT / "workflow/schemas", OBSERVED, problems)
    assert any(problem in text for text in problems), list(problems)


def test_noise_is_measured_from_an_exposure_and_its_sky():
    rng = np.random.default_rng(3)
    level = np.where(np.arange(400) % 20 < 3, 800.0, 60.0)[:, None, None]
    electrons = level * GAIN
    flux, sky = ((electrons + np.sqrt(electrons + 49) * rng.standard_normal((400, 16, 16))) / GAIN for _ in range(2))
    gain, read_noise = measure_noise(flux, sky)
    assert gain == pytest.approx(GAIN, rel=0.05)
    assert read_noise == pytest.approx(7, abs=1.5)
    with pytest.raises(InputError, match="cannot be measured"):
        measure_noise(np.ones((50, 8, 8)), np.ones((50, 8, 8)))


def test_files_of_sinfoni_say_what_they_are(tmp_path):
    small = Instrument("H", (1.5, 1.6), 3000, n_spaxel=8, spaxel=0.25, n_wave=256)
    sky, paths = Sky(small, (OH[:, 0] * 1e-4, OH[:, 1])), []
    for number, (kind, of) in enumerate(zip("OSO", ("galaxy", "galaxy", "star"), strict=True)):
        paths.append(tmp_path / f"{number}.fits")
        state = State(number, kind, 400.0 * number, dither=(0.2, -0.1))
        target = Target(1, "arc", (0.0, 0.0), of)
        write_sinfoni_exposure(paths[-1], small, sky, target, state, (38.2, -3.4), 600.0, 1)
    objects, skies = read_field(paths)
    assert [len(objects), len(skies)] == [2, 1]
    assert objects[0].exposure_time == 600.0
    assert objects[0].flux.shape == (256, 8, 8)
    assert field_position((38.2, -3.4), objects[0].header["CRVAL1"], objects[0].header["CRVAL2"]) == pytest.approx(
        (0.2, -0.1), abs=1e-6
    )
    with pytest.raises(InputError, match="is of the target"):
        read_field(paths[1:2])
    with pytest.raises(InputError, match="no star was found"):
        standard_counts(paths, SINFONI)
    fits.delval(paths[0], "MJD-OBS")
    with pytest.raises(InputError, match="no MJD-OBS"):
        read_field(paths)
