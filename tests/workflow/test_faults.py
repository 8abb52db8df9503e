"""One broken input fails its galaxy with a sentence; the others finish; no detection is a state."""

import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_runs import snakemake

pytestmark = pytest.mark.workflow


def use_as_real_cube(survey, path):
    """Make the H-band row of sp1 point to a file instead of `simulated`."""
    table = survey / "config/observations.tsv"
    text = re.sub(r"(?m)^sp1\tH\tKMOS\tsimulated\t", f"sp1\tH\tKMOS\t{path}\t", table.read_text())
    assert str(path) in text
    table.write_text(text)


def truncate(source, target):
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def all_nan(source, target):
    with fits.open(source) as hdus:
        for hdu in hdus[1:]:
            hdu.data = np.full_like(hdu.data, np.nan)
        hdus.writeto(target)


def transpose(source, target):
    with fits.open(source) as hdus:
        for hdu in hdus[1:]:
            hdu.data = np.ascontiguousarray(hdu.data.T)
            first, third = hdu.header.get("CTYPE1"), hdu.header.get("CTYPE3")
            hdu.header["CTYPE1"], hdu.header["CTYPE3"] = third, first
        hdus.writeto(target)


def not_fits(source, target):
    target.write_text("this is not FITS\n")


def wrong_unit(source, target):
    with fits.open(source) as hdus:
        for hdu in hdus[1:]:
            hdu.header["BUNIT"] = "K km s-1"
        hdus.writeto(target)


def leave_out(source, target):
    assert not target.exists()


@pytest.mark.parametrize("damage", [truncate, all_nan, transpose, not_fits, wrong_unit, leave_out])
def test_a_broken_cube_fails_its_galaxy_only(survey, damage):
    broken = survey / "broken.fits"
    damage(survey / "results/simulated/cubes/sp1/H.fits", broken)
    use_as_real_cube(survey, "broken.fits")
    (survey / "results/galaxies/sp15/gradient.ecsv").unlink()
    done = snakemake(survey, "--cores", "2")
    assert done.returncode != 0
    log = (survey / "logs/ingest/sp1_H.log").read_text()
    sentence = [line for line in log.splitlines() if line.startswith("ERROR: ")][-1]
    assert "sp1 H" in sentence
    assert "broken.fits" in sentence
    assert "Traceback" not in log, log
    assert sentence.removeprefix("ERROR: ") in done.stdout
    assert "snakemake --config 'exclude=[sp1]'" in done.stdout
    assert (survey / "results/galaxies/sp15/gradient.ecsv").is_file()
    assert not (survey / "results/galaxies/sp1/H/cube.fits").exists()
    status = Table.read(survey / "results/status.ecsv")
    state = {(row["galaxy"], row["stage"], row["band"]): row["state"] for row in status.filled("")}
    assert state["sp1", "ingest", "H"] == "failed"
    assert state["sp1", "gradient", ""] == "blocked"
    assert state["sp15", "gradient", ""] in {"done", "unresolved", "not_detected"}


def test_a_misspelt_key_is_found_before_any_job(survey):
    with (survey / "config/config.yaml").open("a") as stream:
        stream.write("lines: {smoothing_fhwm: 0.3}\n")
    done = snakemake(survey, "-n")
    assert done.returncode != 0
    assert "lines.smoothing_fwhm" in done.stdout


def test_no_detection_is_a_state(survey):
    """With noise a thousand times stronger nothing is detected, and every product is still made."""
    with (survey / "config/config.yaml").open("a") as stream:
        stream.write("overrides: {sp1: {simulation: {noise_scale: 1000.0}}}\n")
    done = snakemake(survey, "--cores", "2")
    assert done.returncode == 0, done.stdout
    gradient = Table.read(survey / "results/galaxies/sp1/gradient.ecsv")
    assert set(gradient["state"]) == {"not_detected"}
    assert (survey / "results/galaxies/sp1/summary.png").is_file()
    table = Table.read(survey / "results/tables/table4.ecsv")
    assert "sp1" not in set(table["galaxy"])
