"""Formats: the layers each one finds, the registry, and a format of a user's own."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from cube_files import header, voxels, write_primary

from klever.codedigest import local_closure
from klever.cubes import formats
from klever.cubes.cube import DQ
from klever.cubes.formats import base
from klever.cubes.readers import read_cube
from klever.errors import InputError

FLUX, ERROR = voxels()
SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"


def layered(path, layers, primary=None):
    hdus = [primary or fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(data, cards, name=name) for name, data, cards in layers]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(base, "_FORMATS", list(base._FORMATS))
    return base._FORMATS


def readme_example():
    readme = (SCRIPTS.parents[1] / "config/README.md").read_text()
    return next(block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "class Kcwi" in block)


def test_example_of_the_readme_is_a_working_format_of_few_lines(tmp_path, registry):
    code = readme_example()
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    flags = np.zeros(FLUX.shape, np.uint8)
    flags[3, 2, 1] = 4
    primary = fits.PrimaryHDU(FLUX, header())
    path = layered(tmp_path / "k.fits", [("UNCERT", ERROR, None), ("FLAGS", flags, None)], primary)
    exec(code, {})
    cube = read_cube(path)
    assert cube.meta["reader"] == "KCWI"
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-12)
    np.testing.assert_array_equal(np.argwhere(cube.dq == DQ.INSTRUMENT), [[3, 2, 1]])


def test_example_in_the_package_is_that_of_the_readme():
    def classes(code):
        code = ast.parse(code).body
        found = next(node for node in code if isinstance(node, ast.ClassDef))
        return ast.unparse(ast.Module(found.body[1:], []))  # without the docstring

    documented = formats.__doc__.split("::\n", 1)[1].split("\nThe newest", 1)[0]
    documented = "\n".join(line.removeprefix("    ") for line in documented.splitlines())
    assert classes(documented) == classes(readme_example())


def test_every_module_of_the_folder_is_imported_and_in_the_digest_of_ingest():
    files = set((SCRIPTS / "klever/cubes/formats").glob("*.py"))
    assert files <= set(local_closure(SCRIPTS / "ingest.py"))


def test_unknown_layout_lists_what_was_found_and_tried(tmp_path):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((3, 3)), name="MAP")]).writeto(tmp_path / "m.fits")
    with pytest.raises(InputError, match=r"m\.fits: .*MAP \(2-D\); tried: canonical, KMOS, JWST s3d, MUSE, .*SINFONI"):
        read_cube(tmp_path / "m.fits")


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("MSE", ERROR**2), ("RMSE", ERROR), ("INVMSE", 1 / ERROR**2), ("INVRMSE", 1 / ERROR)],
)
def test_eso_kinds_of_error(tmp_path, kind, stored):
    stored = stored.copy()
    stored[4, 4, 4] = 0
    path = layered(tmp_path / "p.fits", [("DATA", FLUX, header()), ("STAT", stored, header(HDUCLAS3=kind, BUNIT=None)),
                                        ("EXTRA", ERROR, None)])  # fmt: skip
    with fits.open(path, mode="update") as hdus:
        hdus["DATA"].header["ERRDATA"] = "STAT"
    cube = read_cube(path)
    assert cube.meta["reader"] == "ESO Phase 3"
    assert cube.dq[4, 4, 4] == DQ.NO_ERROR
    good = cube.dq == 0
    assert good.sum() == FLUX.size - 1
    np.testing.assert_allclose(cube.error[good], ERROR[good], rtol=1e-12)


def test_eso_roles_stated_by_the_companions_under_any_name(tmp_path):
    quality = np.ones(FLUX.shape, np.uint8)
    quality[1, 2, 3] = 0
    layers = [
        ("OBJ", FLUX, header(HDUCLAS2="DATA")),
        ("SIG", ERROR, header(HDUCLAS2="ERROR", HDUCLAS3="RMSE", SCIDATA="OBJ")),
        ("FINE", quality, header(HDUCLAS2="QUALITY", HDUCLAS3="MASKONE", SCIDATA="OBJ")),
    ]
    cube = read_cube(layered(tmp_path / "p.fits", layers))
    assert (cube.meta["source_extension"], cube.meta["error_extension"]) == ("OBJ", "SIG")
    np.testing.assert_array_equal(np.argwhere(cube.dq), [[1, 2, 3]])


def test_eso_companion_that_is_not_there_is_no_estimated_error(tmp_path):
    path = layered(tmp_path / "p.fits", [("DATA", FLUX, header(ERRDATA="ERR_X")), ("DQ", np.zeros(FLUX.shape), None)])
    with pytest.raises(InputError, match="ERRDATA = ERR_X, but there is no such cube"):
        read_cube(path)


@pytest.mark.parametrize(("name", "stored"), [("VAR", ERROR**2), ("IVAR", 1 / ERROR**2), ("ERR", ERROR)])
def test_sci_with_a_usual_companion_is_not_taken_for_jwst(tmp_path, name, stored):
    quality = np.zeros(FLUX.shape, np.int16)
    quality[2, 2, 2] = 4  # of JWST only bits 0 and 9 count
    cube = read_cube(
        layered(tmp_path / "g.fits", [("SCI", FLUX, header()), (name, stored, None), ("DQ", quality, None)])
    )
    assert cube.meta["reader"] == "ESO Phase 3"
    assert cube.dq[2, 2, 2] == DQ.INSTRUMENT
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-12)


def test_jwst_non_science_voxel_is_bad(tmp_path):
    quality = np.zeros(FLUX.shape, np.uint32)
    quality[1, 1, 1], quality[2, 2, 2], quality[3, 3, 3] = 512, 1, 2
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"] = "JWST"
    layers = [("SCI", FLUX, header()), ("ERR", ERROR, None), ("DQ", quality, None)]
    cube = read_cube(layered(tmp_path / "j.fits", layers, primary))
    assert cube.meta["reader"] == "JWST s3d"
    np.testing.assert_array_equal(np.argwhere(cube.dq), [[1, 1, 1], [2, 2, 2]])


def kmos_exposure(path, filled, noise=True, targets=None):
    primary = fits.PrimaryHDU()
    for arm, target in (targets or {}).items():
        primary.header[f"HIERARCH ESO OCS ARM{arm} NAME"] = target
    hdus = [primary]
    for n in range(1, 25):
        for kind, data in (("DATA", FLUX * n), ("NOISE", ERROR)):
            if n in filled and (kind == "DATA" or noise):
                hdus.append(fits.ImageHDU(data.astype("f4"), header(), name=f"IFU.{n}.{kind}"))
            else:
                hdus.append(fits.ImageHDU(name=f"IFU.{n}.{kind}"))
    fits.HDUList(hdus).writeto(path)
    return path


def test_kmos_single_filled_ifu_needs_no_choice_and_empty_noise_is_estimated(tmp_path):
    cube = read_cube(kmos_exposure(tmp_path / "e.fits", [17], noise=False))
    assert cube.meta["source_extension"] == "IFU.17.DATA"
    assert cube.meta["error_origin"] == "estimated"
    assert np.median(cube.error / ERROR / 17) == pytest.approx(1, abs=0.1)


def test_kmos_arm_by_its_target(tmp_path):
    path = kmos_exposure(tmp_path / "e.fits", [3, 11, 12], targets={3: "abc1 ", 11: "abc2", 12: "abc2", 5: "empty"})
    assert read_cube(path, extension="ABC1").meta["source_extension"] == "IFU.3.DATA"
    with pytest.raises(InputError, match=r"holds 3 cubes \(IFU\.3\.DATA on abc1, IFU\.11\.DATA on abc2, "):
        read_cube(path, extension="abc2")
    with pytest.raises(InputError, match=r"no cube 'empty'.*IFU\.3\.DATA on abc1"):
        read_cube(path, extension="empty")


def test_kmos_exposure_without_any_object(tmp_path):
    with pytest.raises(InputError, match=r"e\.fits: .*all IFUs are empty"):
        read_cube(kmos_exposure(tmp_path / "e.fits", []))


def test_extension_that_is_not_there_lists_the_cubes(tmp_path):
    path = write_primary(tmp_path / "s.fits", FLUX)
    with pytest.raises(InputError, match=r"no cube in extension 'SCI2'; the file has PRIMARY"):
        read_cube(path, extension="SCI2")
