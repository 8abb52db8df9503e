"""Files that tables name are downloaded by the run itself, whole or not at all."""

import io
import json

import numpy as np
import pytest
from archive_server import serve
from astropy.io import fits
from survey_runs import planned, snakemake, write_survey

pytestmark = pytest.mark.workflow

CONFIG = """\
acquire:
  enabled: {enabled}
  retries: 0
  backoff: 0.0
  timeout: 1.0
  mast: "{url}"
"""


def fits_bytes(seed):
    stream = io.BytesIO()
    fits.PrimaryHDU(np.random.default_rng(seed).normal(size=(40, 40))).writeto(stream)
    return stream.getvalue()


@pytest.fixture
def survey(tmp_path):
    with serve() as archive:
        archive.files = {f"/clash/ms2137/{name}.fits": fits_bytes(seed) for seed, name in enumerate(("kappa", "cube"))}
        directory = write_survey(tmp_path, {"sp1": "none"}, CONFIG.format(enabled="true", url=archive.url))
        rows = [f"ms2137/{name}.fits\tmast:clash/ms2137/{name}.fits\t-\t-" for name in ("kappa", "cube")]
        (directory / "config/archive.tsv").write_text("\n".join(["file\tsource\tsize\tsha256", *rows]) + "\n")
        table = directory / "config/observations.tsv"
        table.write_text(table.read_text().replace("\tH\tKMOS\tsimulated\t", "\tH\tKMOS\tarchive/ms2137/cube.fits\t"))
        yield archive, directory


def test_a_cube_in_the_archive_table_is_downloaded_for_its_galaxy(survey):
    archive, directory = survey
    jobs = planned(directory, "results/galaxies/sp1/H/cube.fits")
    assert jobs["fetch"] == {"file=ms2137/cube.fits"}
    assert archive.requests == []
    (directory / "config/config.yaml").write_text(CONFIG.format(enabled="false", url=archive.url))
    assert "fetch" not in snakemake(directory, "-n", "results/galaxies/sp1/H/cube.fits").stdout


def test_all_files_a_break_and_a_resume(survey):
    archive, directory = survey
    archive.faults["/clash/ms2137/cube.fits"] = ["truncate"]
    done = snakemake(directory, "--cores", "1", "--keep-going", "downloads")
    assert done.returncode != 0
    folder = directory / "archive/ms2137"
    assert sorted(path.name for path in folder.iterdir()) == ["cube.fits.part", "cube.fits.part.json", "kappa.fits"]
    log = (directory / "logs/fetch/ms2137/cube.fits.log").read_text()
    assert "the next run goes on from there" in log.splitlines()[-1]
    half = len(archive.files["/clash/ms2137/cube.fits"]) // 2
    done = snakemake(directory, "--cores", "1", "downloads")
    assert done.returncode == 0, done.stdout
    assert archive.requests[-1]["range"] == f"bytes={half}-"
    assert (folder / "cube.fits").read_bytes() == archive.files["/clash/ms2137/cube.fits"]
    lock = json.loads((directory / "config/archive.lock").read_text())
    assert sorted(lock) == ["archive/ms2137/cube.fits", "archive/ms2137/kappa.fits"]
    asked = len(archive.requests)
    assert snakemake(directory, "--cores", "1", "downloads").returncode == 0
    assert len(archive.requests) == asked


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../x.fits\tmast:a/b.fits", "must be a path below archive/"),
        ("a/..b/../../x.fits\tmast:a/b.fits", "archive/"),
        ("x.fits\tftp://host/x", "must start with eso:, mast: or https:"),
        ("x.fits\teso:$(reboot)", "is no ESO file id"),
        ("x.fits\tmast:a/b.fits\n" + "x.fits\tmast:a/c.fits", "is there twice"),
    ],
)
def test_a_bad_table_is_told_before_anything_starts(survey, row, message):
    archive, directory = survey
    (directory / "config/archive.tsv").write_text(f"file\tsource\n{row}\n")
    done = snakemake(directory, "-n")
    assert done.returncode != 0
    assert message in done.stdout
    assert archive.requests == []
