"""Sets of frames and command files for esorex, from the headers of raw frames; a stand-in for esorex runs them."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
from astropy.io import fits

from klever.errors import InputError
from klever.reduce.esorex import observations, steps_of
from klever.reduce.rawframes import associated, read_raw
from klever.reduce.staticframes import static_frames

ROOT = Path(__file__).parents[2]
NIGHT = 57200.1
KMOS_DAY = {"DARK": 3, "FLAT,OFF": 3, "FLAT,LAMP": 3, "WAVE,OFF": 1, "WAVE,LAMP": 6, "FLAT,SKY": 4}
SINFONI_DAY = {
    "DARK": 3, "FLAT,LAMP": 4, "WAVE,LAMP": 2, "DISTORTION,FIBRE,NS": 5, "DISTORTION,FLAT,NS": 2,
    "DISTORTION,WAVE,NS": 2, "LAMP,LINEARITY": 2,
}  # fmt: skip
# what each recipe makes, as its description lists it
PRODUCTS = {
    "kmos_dark": "MASTER_DARK BADPIXEL_DARK", "kmos_flat": "MASTER_FLAT XCAL YCAL BADPIXEL_FLAT FLAT_EDGE",
    "kmos_wave_cal": "LCAL DET_IMG_WAVE", "kmos_illumination": "ILLUM_CORR", "kmos_sci_red": "SCI_RECONSTRUCTED",
    "sinfo_rec_mdark": "MASTER_DARK BP_MAP_HP", "sinfo_rec_mflat": "MASTER_FLAT_LAMP BP_MAP_NO MASTER_BP_MAP",
    "sinfo_rec_distortion": "DISTORTION SLITLETS_DISTANCE", "sinfo_rec_wavecal": "WAVE_MAP SLIT_POS",
    "sinfo_rec_jitter": "COADD_OBJ OBS_OBJ",
}  # fmt: skip
STAND_IN = """\
#!/bin/sh
for argument; do
    case $argument in
        --output-dir=*) out=${argument#*=} ;;
        --products-sof=*) list=${argument#*=} ;;
        kmos_*|sinfo_*) recipe=$argument ;;
        *.sof) sof=$argument ;;
    esac
done
while read -r path tag; do
    [ -f "$path" ] || { echo "no $path ($tag)" >&2; exit 1; }
done < "$sof"
echo "$recipe $(awk '{print $2}' "$sof" | sort -u | tr '\\n' ' ')" >> calls.txt
: > "$list"
for category in $(awk -v recipe="$recipe" '$1 == recipe { $1 = ""; print }' "$PRODUCTS"); do
    head -1 "$sof" > "$out/$category.fits"
    echo "$out/$category.fits $category" >> "$list"
done
"""


def esorex_files():
    spec = importlib.util.spec_from_file_location("esorex_files", ROOT / "workflow/scripts/esorex_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.esorex_files


def write_frame(folder, name, instrument, category, kind, time, band="H", dit=300.0, target="", **more):
    header = fits.Header()
    header["INSTRUME"], header["MJD-OBS"], header["OBJECT"] = instrument, time, target
    header["HIERARCH ESO DPR CATG"], header["HIERARCH ESO DPR TYPE"], header["HIERARCH ESO DPR TECH"] = (
        category,
        kind,
        "IFU",
    )
    if instrument == "KMOS":
        header["HIERARCH ESO INS GRAT1 ID"], header["HIERARCH ESO DET SEQ1 DIT"] = band, dit
    else:
        header["HIERARCH ESO INS GRAT1 NAME"], header["HIERARCH ESO INS OPTI1 NAME"], header["HIERARCH ESO DET DIT"] = (
            band,
            "0.025" if kind.startswith("DISTORTION") else "0.25",  # as they are taken, for all pre-optics
            dit,
        )
    for key, value in more.items():
        header[key] = value
    folder.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(header=header).writeto(folder / f"{name}.fits")


def write_night(folder, instrument, day, science, standard, time=NIGHT, band="H", label=""):
    """Science and standard of one night, and the calibrations of the next morning."""
    for number, kind in enumerate(science):
        write_frame(folder, f"{label}sci{number}", instrument, "SCIENCE", kind, time + 0.004 * number, band)
    for number, kind in enumerate(standard):
        write_frame(folder, f"{label}std{number}", instrument, "CALIB", kind, time - 0.1 + 0.001 * number, band, 10.0)
    for kind, count in day.items():
        for number in range(count):
            name = f"{label}{kind.lower().replace(',', '-')}{number}"
            write_frame(folder, name, instrument, "CALIB", kind, time + 0.4 + 0.001 * number, band,
                        300.0 if kind == "DARK" else 5.0)  # fmt: skip


@pytest.fixture
def kmos(tmp_path):
    raw = tmp_path / "raw"
    write_night(raw, "KMOS", KMOS_DAY, ["OBJECT,SKY"] * 3, ["OBJECT,SKY,STD,FLUX"] * 2)
    write_frame(raw, "acquisition", "KMOS", "ACQUISITION", "OBJECT", NIGHT - 0.01)
    return raw


def static_folder(folder, files):
    folder.mkdir()
    for name, category in files.items():
        header = fits.Header()
        header["HIERARCH ESO PRO CATG"] = category
        fits.PrimaryHDU(header=header).writeto(folder / name)
    return folder


KMOS_STATIC = {
    "kmos_wave_band.fits": "WAVE_BAND", "kmos_wave_ref_table.fits": "REF_LINES", "kmos_ar_ne_list_h.fits": "ARC_LIST",
    "kmos_ar_ne_list_k.fits": "ARC_LIST", "kmos_oh_spec_h.fits": "OH_SPEC", "kmos_oh_spec_k.fits": "OH_SPEC",
}  # fmt: skip


def run(script, tmp_path):
    """Run a command file with the stand-in for esorex; return the recipes with their tags."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "esorex").write_text(STAND_IN)
    (tools / "esorex").chmod(0o755)
    table = tmp_path / "products.txt"
    table.write_text("".join(f"{recipe} {made}\n" for recipe, made in PRODUCTS.items()))
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PRODUCTS": str(table)}
    done = subprocess.run(["sh", "reduce.sh"], cwd=script.parent, env=environment, capture_output=True, text=True)
    calls = [line.split() for line in (script.parent / "calls.txt").read_text().splitlines()]
    return done, [(call[0], set(call[1:])) for call in calls]


def test_kmos_from_raw_frames_to_exposures(kmos, tmp_path):
    static = static_folder(tmp_path / "cal", KMOS_STATIC)
    (script,) = esorex_files()([kmos], [static], tmp_path / "out")
    assert "MISSING" not in script.read_text()
    done, calls = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [recipe for recipe, _ in calls[:4]] == ["kmos_dark", "kmos_flat", "kmos_wave_cal", "kmos_illumination"]
    assert [recipe for recipe, _ in calls[4:]] == ["kmos_sci_red"] * 5
    assert calls[1][1] == {"FLAT_OFF", "FLAT_ON", "BADPIXEL_DARK"}
    assert calls[2][1] == {"ARC_OFF", "ARC_ON", "REF_LINES", "WAVE_BAND", "ARC_LIST", "FLAT_EDGE", "XCAL", "YCAL"}
    assert calls[4][1] == {
        "SCIENCE", "XCAL", "YCAL", "LCAL", "MASTER_FLAT", "ILLUM_CORR", "WAVE_BAND", "OH_SPEC",
    }  # fmt: skip
    assert "kmos_sci_red --no_subtract=TRUE --no_combine=TRUE" in script.read_text()
    assert "kmos_oh_spec_h.fits OH_SPEC" in (script.parent / "exposure_00.sof").read_text()
    exposures = sorted(script.parent.glob("exposures/*.fits"))
    assert [path.name for path in exposures] == [f"exposure_{number:02d}.fits" for number in range(3)]
    assert "sci0.fits SCIENCE" in exposures[0].read_text()
    assert len(list(script.parent.glob("standard/*.fits"))) == 2


def test_sinfoni_keeps_sky_and_target_apart(tmp_path):
    raw = tmp_path / "raw"
    write_night(raw, "SINFONI", SINFONI_DAY, ["OBJECT", "SKY", "OBJECT"], ["STD", "SKY,STD"])
    static = static_folder(tmp_path / "cal", {"lines_h.fits": "REF_LINE_ARC", "drs.fits": "DRS_SETUP_WAVE"})
    (script,) = esorex_files()([raw], [static], tmp_path / "out")
    done, calls = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [recipe for recipe, _ in calls[:4]] == [
        "sinfo_rec_mdark", "sinfo_rec_mflat", "sinfo_rec_distortion", "sinfo_rec_wavecal",
    ]  # fmt: skip
    assert calls[4][1] == {
        "OBJECT_NODDING", "MASTER_DARK", "MASTER_FLAT_LAMP", "MASTER_BP_MAP", "DISTORTION", "SLITLETS_DISTANCE",
        "WAVE_MAP", "SLIT_POS",
    }  # fmt: skip
    names = sorted(path.name for path in script.parent.glob("exposures/*.fits"))
    assert names == ["exposure_00_object.fits", "exposure_01_SKY.fits", "exposure_02_object.fits"]
    assert sorted(path.name for path in script.parent.glob("standard/*.fits")) == [
        "standard_00_object.fits", "standard_01_SKY.fits",
    ]  # fmt: skip


def test_calibrations_are_of_the_setup_and_nearest_in_time(kmos):
    write_night(kmos, "KMOS", KMOS_DAY, [], [], time=NIGHT - 5, label="old")
    write_night(kmos, "KMOS", KMOS_DAY, [], [], time=NIGHT + 0.01, band="K", label="k")
    frames = [frame for path in sorted(kmos.glob("*.fits")) if (frame := read_raw(path)) is not None]
    found = associated(frames, "FLAT_ON", "H", NIGHT)
    assert len(found) == KMOS_DAY["FLAT,LAMP"]
    assert {Path(frame.path).name[:4] for frame in found} == {"flat"}
    (observation,) = observations(frames)
    assert len(steps_of(observation, frames)) == 9


def test_darks_of_sinfoni_have_the_time_of_the_exposures(tmp_path):
    write_frame(tmp_path, "a", "SINFONI", "CALIB", "DARK", NIGHT, dit=20.0)
    write_frame(tmp_path, "b", "SINFONI", "CALIB", "DARK", NIGHT + 3, dit=300.0)
    frames = [read_raw(path) for path in sorted(tmp_path.glob("*.fits"))]
    assert [Path(frame.path).stem for frame in associated(frames, "DARK", "H_0.25", NIGHT, 300.0)] == ["b"]


def test_distortion_of_sinfoni_is_of_the_band_and_of_any_spaxels(tmp_path):
    write_frame(tmp_path, "k", "SINFONI", "CALIB", "DISTORTION,FIBRE,NS", NIGHT, band="K")
    write_frame(tmp_path, "h", "SINFONI", "CALIB", "DISTORTION,FIBRE,NS", NIGHT + 20)
    write_frame(tmp_path, "flat", "SINFONI", "CALIB", "DISTORTION,FLAT,TECH", NIGHT + 20)
    frames = [read_raw(path) for path in sorted(tmp_path.glob("*.fits"))]
    assert {frame.setup for frame in frames} == {"H_0.025", "K_0.025"}
    for tag, name in (("FIBRE_NS", "h"), ("FLAT_NS", "flat")):
        assert [Path(frame.path).stem for frame in associated(frames, tag, "H_0.25", NIGHT)] == [name]
    write_frame(tmp_path, "lamp", "SINFONI", "CALIB", "FLAT,LAMP", NIGHT)
    assert associated([read_raw(tmp_path / "lamp.fits")], "FLAT_LAMP", "H_0.1", NIGHT) == []


def test_two_observations_get_a_folder_each(kmos, tmp_path):
    write_frame(kmos, "later", "KMOS", "SCIENCE", "OBJECT,SKY", NIGHT + 0.2)
    scripts = esorex_files()([kmos], [], tmp_path / "out")
    assert len({script.parent for script in scripts}) == 2
    assert all("# MISSING: a static calibration WAVE_BAND" in script.read_text() for script in scripts)


def test_what_is_missing_is_named(kmos, tmp_path):
    for path in kmos.glob("wave-off*"):
        path.unlink()
    with pytest.raises(InputError, match="no raw frame ARC_OFF of H"):
        esorex_files()([kmos], [], tmp_path / "out")
    for path in kmos.glob("sci*"):
        path.unlink()
    with pytest.raises(InputError, match="is a science frame"):
        esorex_files()([kmos], [], tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        esorex_files()([tmp_path / "nothing"], [], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no FITS file"):
        esorex_files()([tmp_path / "empty"], [], tmp_path / "out")


def test_broken_frames_are_told(tmp_path):
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(InputError, match="cannot be read"):
        read_raw(tmp_path / "text.fits")
    write_frame(tmp_path, "frame", "KMOS", "CALIB", "DARK", NIGHT)
    fits.delval(tmp_path / "frame.fits", "MJD-OBS")
    with pytest.raises(InputError, match="has no MJD-OBS"):
        read_raw(tmp_path / "frame.fits")


def test_a_recipe_without_the_product_stops_the_run(kmos, tmp_path):
    (script,) = esorex_files()([kmos], [static_folder(tmp_path / "cal", KMOS_STATIC)], tmp_path / "out")
    made = PRODUCTS["kmos_flat"]
    try:
        PRODUCTS["kmos_flat"] = made.replace(" XCAL", "")
        done, calls = run(script, tmp_path)
    finally:
        PRODUCTS["kmos_flat"] = made
    assert done.returncode == 1
    assert "flat made no XCAL, which wave needs" in done.stderr
    assert calls[-1][0] == "kmos_flat"


def test_static_calibrations_of_the_band(tmp_path):
    folder = static_folder(tmp_path / "cal", KMOS_STATIC)
    found = static_frames(folder, ["OH_SPEC", "WAVE_BAND"], "K")
    assert {tag: Path(path).name for tag, path in found.items()} == {
        "OH_SPEC": "kmos_oh_spec_k.fits", "WAVE_BAND": "kmos_wave_band.fits",
    }  # fmt: skip
    assert static_frames(folder, ["OH_SPEC"], "YJ") == {}
