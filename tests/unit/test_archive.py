"""Downloads from an archive that stalls, truncates, redirects and lies: a clear error or a whole file."""

import fcntl
import gzip
import hashlib
import io
import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import numpy as np
import pytest
from archive_server import serve
from astropy.io import fits
from astropy.table import Table

from archive_links import list_links
from archive_list import list_archive
from fetch import fetch
from klever.archive.contents import check_content
from klever.archive.credentials import eso_headers
from klever.archive.download import Policy, _retry_after, download
from klever.archive.eso import PRODUCT_COLUMNS, linked_files, raw_frames, science_products
from klever.archive.lock import Lock
from klever.archive.sources import address_of, check_source
from klever.errors import InputError
from klever.row_tables import write_table

QUICK = Policy(retries=2, backoff=0.0, timeout=0.3)
PATH = "/clash/ms2137/kappa.fits"


def fits_bytes(shape=(60, 60), seed=1):
    stream = io.BytesIO()
    fits.PrimaryHDU(np.random.default_rng(seed).normal(size=shape)).writeto(stream)
    return stream.getvalue()


CONTENT = fits_bytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def archive():
    with serve() as server:
        server.files[PATH] = CONTENT
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "archive/kappa.fits"


def get(archive, target, **options):
    return download(archive.url + PATH, target, policy=options.pop("policy", QUICK), **options)


def only(target):
    """Names in the folder of the target: nothing half-written may look like a product."""
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole(archive, target):
    found = get(archive, target)
    assert (found.size, found.sha256) == (len(CONTENT), DIGEST)
    assert target.read_bytes() == CONTENT
    assert only(target) == ["kappa.fits"]


@pytest.mark.parametrize("fault", ["truncate", "stall"])
def test_a_broken_transfer_goes_on_where_it_stopped(archive, target, fault):
    archive.faults[PATH] = [fault]
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert [request["range"] for request in archive.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_an_interrupted_download_is_continued_by_the_next_run(archive, target):
    archive.faults[PATH] = ["truncate", 503, 503, 503]
    with pytest.raises(InputError, match=r"bytes are kept in .*kappa\.fits\.part and the next run goes on"):
        get(archive, target)
    assert not target.exists()
    assert only(target) == ["kappa.fits.part", "kappa.fits.part.json"]
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert archive.requests[-1]["range"] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_meanwhile_starts_over(archive, target):
    archive.faults[PATH] = ["truncate", 503, 503, 503]
    with pytest.raises(InputError):
        get(archive, target)
    archive.files[PATH] = fits_bytes(seed=2)
    get(archive, target)
    assert target.read_bytes() == archive.files[PATH]


def test_without_a_validator_nothing_is_glued(archive, target):
    archive.etag = False
    archive.faults[PATH] = ["truncate"]
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert [request["range"] for request in archive.requests] == [None, None]


@pytest.mark.parametrize("fault", ["no_range", "wrong_range"])
def test_a_server_that_ignores_or_mistakes_ranges(archive, target, fault):
    archive.faults[PATH] = ["truncate", fault]
    get(archive, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [500, 502, 429, (503, "0")])
def test_a_server_that_is_not_ready_is_asked_again(archive, target, fault):
    archive.faults[PATH] = [fault, fault]
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert len(archive.requests) == 3


def test_patience_ends(archive, target):
    archive.faults[PATH] = [503] * 9
    with pytest.raises(InputError, match=r"not ready \(HTTP 503\)"):
        get(archive, target)
    assert len(archive.requests) == 3
    assert not target.exists()


@pytest.mark.parametrize(("status", "message"), [(404, "has no such file"), (401, "wants a login"), (403, "not allow")])
def test_what_will_not_change_is_not_asked_again(archive, target, status, message):
    archive.faults[PATH] = [status]
    with pytest.raises(InputError, match=message):
        get(archive, target)
    assert len(archive.requests) == 1


@pytest.mark.parametrize("fault", ["html", "sneaky_html"])
def test_a_web_page_is_no_file(archive, target, fault):
    archive.faults[PATH] = [fault]
    with pytest.raises(InputError, match="a web page"):
        get(archive, target, check=lambda path: check_content(path, "kappa.fits"))
    assert only(target) == []


def test_a_file_cut_without_a_length_is_refused_by_its_own_header(archive, target):
    archive.faults[PATH] = ["chunked_truncate"]
    with pytest.raises(InputError, match="truncated"):
        get(archive, target, check=lambda path: check_content(path, "kappa.fits"))
    assert only(target) == []


def test_redirects_are_followed_and_logins_do_not_travel_to_another_host(archive, target):
    with serve() as other:
        other.files["/elsewhere.fits"] = CONTENT
        archive.faults[PATH] = [(302, other.url.replace("127.0.0.1", "localhost") + "/elsewhere.fits")]
        get(archive, target, headers={"Authorization": "Bearer secret"})
        assert other.requests[0]["authorization"] is None
    assert target.read_bytes() == CONTENT


def test_no_login_is_taken_from_a_file(archive, target, tmp_path, monkeypatch):
    """requests would read ~/.netrc, and put what it finds in the place of the archive's own token."""
    secrets = tmp_path / "netrc"
    secrets.write_text("machine 127.0.0.1 login somebody password hidden\nmachine localhost login a password b\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("NETRC", str(secrets))
    archive.faults[PATH] = [(302, archive.url + PATH), (302, archive.url.replace("127.0.0.1", "localhost") + PATH)]
    get(archive, target, headers={"Authorization": "Bearer own"})
    assert [request["authorization"] for request in archive.requests] == ["Bearer own", "Bearer own", None]


def test_redirects_in_a_circle_end(archive, target):
    archive.faults[PATH] = [(302, archive.url + PATH)] * 40
    with pytest.raises(InputError, match=r"cannot be downloaded \(TooManyRedirects\); check the address"):
        get(archive, target)
    assert only(target) == []


def test_two_processes_do_not_write_one_part(archive, target):
    part, held = target.with_name("kappa.fits.part"), target.with_name("kappa.fits.part.json")
    target.parent.mkdir()
    part.write_bytes(CONTENT[:100])
    with held.open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="is being downloaded by another process"):
            get(archive, target)
    assert archive.requests == []
    assert part.read_bytes() == CONTENT[:100]
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert only(target) == ["kappa.fits"]


def test_a_full_disk_leaves_what_came_for_later(archive, target):
    """A limit on the size of files stands for the full disk; writing ends with the system's own error."""
    script = """if True:
        import resource, signal, sys
        from klever.archive.download import download
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
        download(sys.argv[1], sys.argv[2])
    """
    done = subprocess.run([sys.executable, "-c", script, archive.url + PATH, str(target)], capture_output=True,
                          text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert not target.exists()
    get(archive, target)
    assert target.read_bytes() == CONTENT
    assert archive.requests[-1]["range"] == "bytes=9000-"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("9999", 120), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", 0), ("", 0), ("-5", 0)],
)
def test_the_server_says_how_long_to_wait(text, seconds):
    assert _retry_after(SimpleNamespace(headers={"Retry-After": text})) == seconds


def test_the_server_may_say_until_when_to_wait():
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 30 < _retry_after(SimpleNamespace(headers={"Retry-After": text})) <= 100


@pytest.mark.parametrize(
    ("expected", "message"),
    [({"size": 17}, "17 were expected"), ({"sha256": "0" * 64}, "0000000000000000... was expected")],
)
def test_another_file_than_recorded_is_refused_and_the_old_one_stays(archive, target, expected, message):
    target.parent.mkdir()
    target.write_bytes(b"what was there")
    with pytest.raises(InputError, match=message):
        get(archive, target, **expected)
    assert target.read_bytes() == b"what was there"
    assert only(target) == ["kappa.fits"]


def test_contents(tmp_path):
    def check(name, content):
        path = tmp_path / "x"
        path.write_bytes(content)
        check_content(path, name)

    packed = gzip.compress(CONTENT)
    for name, content in (("a.fits", CONTENT), ("a.fits.gz", packed), ("a.cat", b"1 2 3"), ("a.par", b"")):
        check(name, content)
    for name, content, message in (
        ("a.fits", CONTENT[:-2880], "truncated"), ("a.fits", b"SIMPLE  = nonsense" * 500, "FITS"),
        ("a.fits", b"", "no FITS"), ("a.fits", packed, r"name in the table end in \.fits\.gz"),
        ("a.fits", b"\x1f\x9d..", r"end in \.fits\.Z"), ("a.fits.gz", CONTENT, "not compressed"),
        ("a.fits.gz", packed[:-20], "damaged or truncated"), ("a.cat", b"\n <HTML> gone", "web page"),
        ("a.fits.gz", packed[:500] + b"\0" * 50 + packed[550:], "damaged"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            check(name, content)


def settings_of(archive, tmp_path, **changes):
    services = {"mast": archive.url, "eso_files": f"{archive.url}/file", "eso_token": f"{archive.url}/token"}
    return {
        "source": "mast:clash/ms2137/kappa.fits", "size": None, "sha256": None, "lock": tmp_path / "archive.lock",
        "acquire": services | {"retries": 1, "backoff": 0.0, "timeout": 0.5},
    } | changes  # fmt: skip


def test_the_lock_file_remembers_and_a_replaced_file_is_noticed(archive, tmp_path, target):
    settings = settings_of(archive, tmp_path)
    fetch(target, settings)
    entry = json.loads((tmp_path / "archive.lock").read_text())[str(target)]
    assert entry == {"sha256": DIGEST, "size": len(CONTENT), "source": settings["source"], "url": archive.url + PATH}
    assert Lock(tmp_path / "archive.lock").problems("/") == []
    fetch(target, settings)  # the same file again
    archive.files[PATH] = fits_bytes(seed=3)
    with pytest.raises(InputError, match="SHA-256"):
        fetch(target, settings)
    assert target.read_bytes() == CONTENT
    target.write_bytes(CONTENT[:-1] + b"x")
    (problem,) = Lock(tmp_path / "archive.lock").problems("/")
    assert "was changed since it was downloaded" in problem
    fetch(target, settings_of(archive, tmp_path, lock=tmp_path / "other.lock"))
    assert target.read_bytes() == archive.files[PATH]


def test_table_and_lock_file_that_disagree_are_told(archive, tmp_path, target):
    fetch(target, settings_of(archive, tmp_path))
    with pytest.raises(InputError, match="the table gives the size 5"):
        fetch(target, settings_of(archive, tmp_path, size=5))


def test_a_damaged_lock_file_is_told(archive, tmp_path, target):
    (tmp_path / "archive.lock").write_text("[]")
    with pytest.raises(InputError, match="no lock file of downloads"):
        fetch(target, settings_of(archive, tmp_path))
    assert archive.requests == []


def test_many_jobs_write_one_lock_file(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    lock = Lock(tmp_path / "archive.lock")
    entry = {"source": "mast:a/b", "url": "u", "size": 1, "sha256": "0"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: lock.record(f"file{number}", entry), range(40)))
    assert len(json.loads((tmp_path / "archive.lock").read_text())) == 40


def test_logins_come_from_the_environment_and_are_not_told(archive, tmp_path, target, monkeypatch, caplog):
    archive.files["/file/ADP.2016-06-20T14:03:47.033"] = CONTENT
    source = {"source": "eso:ADP.2016-06-20T14:03:47.033"}
    monkeypatch.delenv("ESO_USERNAME", raising=False)
    fetch(target, settings_of(archive, tmp_path, **source))
    assert archive.requests[-1]["authorization"] is None
    monkeypatch.setenv("ESO_USERNAME", "astronomer")
    monkeypatch.setenv("ESO_PASSWORD", "s3cret")
    with caplog.at_level(logging.DEBUG):
        fetch(target, settings_of(archive, tmp_path, **source))
    assert archive.requests[-1]["authorization"] == "Bearer t0ken"
    monkeypatch.setenv("ESO_PASSWORD", "wr0ng")
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError, match="refuses the login") as failure:
        fetch(target, settings_of(archive, tmp_path, **source))
    assert "/file/ADP" in caplog.text
    told = str(failure.value) + caplog.text + (tmp_path / "archive.lock").read_text()
    assert not any(word in told for word in ("astronomer", "s3cret", "wr0ng", "t0ken"))
    with pytest.raises(InputError, match="did not answer") as failure:
        eso_headers("http://127.0.0.1:9/token")
    assert failure.value.__cause__ is None
    assert "wr0ng" not in str(failure.value)


@pytest.mark.parametrize(
    "source",
    ["ftp://host/file", "eso:../../etc/passwd", "mast:../secret/file", "https://user:password@host/file", "file:///etc/passwd",
     "eso:ADP", "mast:/absolute", "", "https:"],
)  # fmt: skip
def test_sources_that_are_none(source):
    assert check_source(source)
    with pytest.raises(InputError):
        address_of(source, {})


def votable(**columns):
    stream = io.BytesIO()
    table = Table(columns)
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            table[name] = table[name].astype(object)
    table.write(stream, format="votable")
    text = stream.getvalue()
    return text.replace(
        b'<RESOURCE type="results">', b'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
    )


def test_products_and_raw_frames_of_programmes(archive, tmp_path):
    archive.tables["ivoa.ObsCore"] = votable(
        dp_id=["ADP.2016-06-20T14:03:47.033"], proposal_id=["197.A-0717(A)"], instrument_name=["KMOS"],
        target_name=["MS2137"], s_ra=[325.06], s_dec=[-23.66], t_exptime=[3600.0], em_min=[1.456e-6], em_max=[1.846e-6],
        obs_collection=["KMOS"], access_estsize=[4000], access_url=[archive.url + "/datalink?ID=x"],
    )  # fmt: skip
    archive.tables["dbo.raw"] = votable(
        dp_id=["KMOS.2016-06-20T01:02:03.456"] * 2, prog_id=["197.A-0717(A)"] * 2, instrument=["KMOS"] * 2,
        object=["OBJECT,SKY", "OBJECT"], ra=[325.06, np.nan], dec=[-23.66, np.nan], exposure=[300.0, 300.0],
        dp_cat=["SCIENCE"] * 2, dp_type=["OBJECT"] * 2, filter_path=["H"] * 2, exp_start=["2016-06-20T01:02:03"] * 2,
        ob_id=[1, 1], access_estsize=[50000, 50000],
    )  # fmt: skip
    outputs = [tmp_path / name for name in ("products.ecsv", "raw.ecsv")]
    services = {"eso_tap": archive.url + "/tap_obs"}
    list_archive(*outputs, {"acquire": services | {"programmes": ["197.A-0717", "095.B-0480(A)"],
                                        "instruments": ["KMOS", "SINFONI"]}})  # fmt: skip
    products, raw = (Table.read(path) for path in outputs)
    assert products["source"].tolist() == ["eso:ADP.2016-06-20T14:03:47.033"]
    assert products["wavelength_min"][0] == pytest.approx(1.456)
    assert len(raw) == 2
    assert raw["ra"].mask.tolist() == [False, True]
    query = archive.requests[0]["query"]["QUERY"][0]
    assert "proposal_id LIKE '197.A-0717%' OR proposal_id = '095.B-0480(A)'" in query
    assert "IN ('KMOS', 'SINFONI')" in query
    assert all(not check_source(source) for source in [*products["source"], *raw["source"]])


def test_links_of_a_product(archive):
    archive.tables["/datalink"] = votable(
        ID=["x", "x"], access_url=[archive.url + "/file/a", archive.url + "/file/b"], service_def=["", ""],
        error_message=["", ""], semantics=["#this", "#progenitor"], description=["cube", "raw frame"],
        content_type=["application/fits", "application/fits"], content_length=[100, 200],
    )  # fmt: skip
    rows = linked_files(archive.url + "/datalink?ID=x")
    assert [(row["semantics"], row["size"]) for row in rows] == [("#this", 100), ("#progenitor", 200)]


def test_links_of_the_cubes_near_a_galaxy(archive, tmp_path):
    archive.tables["/datalink"] = votable(
        ID=["x"] * 3, access_url=[archive.url + "/file/ADP.1", archive.url + "/file/KMOS.2", archive.url + "/page"],
        service_def=[""] * 3, error_message=[""] * 3, semantics=["#this", "#progenitor", "#preview"],
        description=["cube", "raw frame", "picture"], content_type=["application/fits"] * 3,
        content_length=[100, 200, 3],
    )  # fmt: skip
    cells = dict.fromkeys((column.name for column in PRODUCT_COLUMNS), "x")
    numbers = dict.fromkeys(("exposure", "wavelength_min", "wavelength_max", "size_estimate"), 1)
    rows = [
        cells
        | numbers
        | {"source": f"eso:ADP.{n}", "ra": ra, "dec": -23.66, "datalink": f"{archive.url}/datalink?ID={n}"}
        for n, ra in ((1, 359.9995), (2, 0.1), (3, np.nan))
    ]
    write_table(tmp_path / "products.ecsv", rows, PRODUCT_COLUMNS, {})
    settings = {
        "positions": {"far": [20.0, 0.0], "near": [0.0005, -23.661]},
        "acquire": {"eso_files": archive.url + "/file"},
    }
    list_links(tmp_path / "products.ecsv", tmp_path / "links.ecsv", settings)
    links = Table.read(tmp_path / "links.ecsv")
    assert [request["query"]["ID"] for request in archive.requests] == [["1"]]  # the others are far, or nowhere
    assert set(links["galaxy"]) == {"near"}
    assert links["semantics"].tolist() == ["#this", "#progenitor", "#preview"]
    assert np.ma.filled(links["source"], "").tolist() == ["eso:ADP.1", "eso:KMOS.2", ""]
    assert links["size"].tolist() == [100, 200, 3]
    settings["positions"] = {"far": [20.0, 0.0]}
    list_links(tmp_path / "products.ecsv", tmp_path / "none.ecsv", settings)
    assert len(Table.read(tmp_path / "none.ecsv")) == 0


@pytest.mark.parametrize("ask", [science_products, raw_frames])
def test_names_cannot_carry_a_query(archive, ask):
    with pytest.raises(InputError, match="no ESO programme"):
        ask(archive.url, ["197.A-0717' OR '1'='1"], ["KMOS"])
    with pytest.raises(InputError, match="no instrument"):
        ask(archive.url, ["197.A-0717"], ["KMOS') --"])
    assert archive.requests == []


def test_a_service_that_answers_with_something_else(archive):
    archive.files["/tap_obs/sync"] = b"<html>maintenance</html>"
    with pytest.raises(InputError, match="did not answer with a table"):
        science_products(archive.url + "/tap_obs", ["197.A-0717"], ["KMOS"])
