"""The table that stands for the maps of a lens model's realisations."""

import hashlib
import os
from pathlib import Path

import pytest

from klever.errors import InputError
from klever.row_tables import read_table
from klever.source.magnification import find_realisations
from lens_realisations import list_realisations

SETTINGS = {"lens": "a370", "model": ""}


@pytest.fixture
def maps(tmp_path):
    paths = {kind: [tmp_path / f"m{n}_{kind}.fits" for n in range(3)] for kind in ("kappa", "gamma")}
    for kind, files in paths.items():
        for number, path in enumerate(files):
            path.write_bytes(f"{kind} {number}".encode() * (number + 1))
    return paths


def test_table_names_each_map_with_its_digest(tmp_path, maps):
    list_realisations(**maps, index=tmp_path / "index.ecsv", settings=SETTINGS)
    table = read_table(tmp_path / "index.ecsv")
    assert [row["kind"] for row in table] == ["kappa"] * 3 + ["gamma"] * 3
    for row in table:
        content = Path(row["path"]).read_bytes()
        assert row["size"] == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_same_maps_are_found_as_by_their_names(tmp_path, maps):
    list_realisations(**maps, index=tmp_path / "index.ecsv", settings=SETTINGS)
    for kind, files in maps.items():
        assert find_realisations([tmp_path / "index.ecsv"], kind) == find_realisations(files, kind) == files


def test_a_map_that_changed_since_is_refused(tmp_path, maps):
    list_realisations(**maps, index=tmp_path / "index.ecsv", settings=SETTINGS)
    maps["kappa"][1].write_bytes(b"another size altogether")
    assert len(find_realisations([tmp_path / "index.ecsv"], "gamma")) == 3  # whose files are as they were
    with pytest.raises(InputError, match=r"m1_kappa\.fits is gone or not what it was"):
        find_realisations([tmp_path / "index.ecsv"], "kappa")
    maps["gamma"][2].unlink()
    with pytest.raises(InputError, match=r"m2_gamma\.fits is gone"):
        find_realisations([tmp_path / "index.ecsv"], "gamma")


def test_a_map_of_the_same_size_is_told_by_its_digest(tmp_path, maps):
    list_realisations(**maps, index=tmp_path / "index.ecsv", settings=SETTINGS)
    later = (tmp_path / "index.ecsv").stat().st_mtime + 10
    path = maps["kappa"][1]
    os.utime(path, (later, later))
    assert find_realisations([tmp_path / "index.ecsv"], "kappa") == maps["kappa"]  # touched only
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, (later, later))
    with pytest.raises(InputError, match=r"m1_kappa\.fits is gone or not what it was"):
        find_realisations([tmp_path / "index.ecsv"], "kappa")


def test_an_empty_map_is_told(tmp_path, maps):
    maps["gamma"][0].write_bytes(b"")
    with pytest.raises(InputError, match=r"m0_gamma\.fits is empty; it should hold the gamma of a realisation of a370"):
        list_realisations(**maps, index=tmp_path / "index.ecsv", settings=SETTINGS)
    assert not (tmp_path / "index.ecsv").exists()


def test_no_realisations_give_an_empty_table(tmp_path):
    list_realisations([], [], tmp_path / "index.ecsv", SETTINGS)
    assert find_realisations([tmp_path / "index.ecsv"], "kappa") == []
