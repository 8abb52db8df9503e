"""Raw frames of KMOS and SINFONI: what each one is, and which calibrations belong to an observation.

A frame is classified by its ``ESO DPR`` keywords and named with the tags that the recipes of the two pipelines take.
"""

from dataclasses import dataclass

import numpy as np

from klever.cubes.axes import is_number
from klever.errors import InputError

__all__ = ["TAGS", "RawFrame", "associated", "read_raw", "sequences"]

# ESO DPR TYPE to the tag that the recipes know. The words are those of ESO's quality control, pages "calibration data"
# (pipe_calib.html) and "science data reduction" (pipe_reduc.html) of each instrument below
# eso.org/observing/dfo/quality; the words with TECH are in the issue of April 2005. The tags are those of the recipes'
# manual pages.
TAGS = {
    "KMOS": {
        "DARK": "DARK", "FLAT,OFF": "FLAT_OFF", "FLAT,LAMP": "FLAT_ON", "WAVE,OFF": "ARC_OFF", "WAVE,LAMP": "ARC_ON",
        "FLAT,SKY": "FLAT_SKY", "OBJECT,SKY,STD,FLUX": "STD", "OBJECT,SKY": "SCIENCE",
    },
    "SINFONI": {
        "DARK": "DARK", "FLAT,LAMP": "FLAT_LAMP", "WAVE,LAMP": "WAVE_LAMP", "DISTORTION,FIBRE,NS": "FIBRE_NS",
        "DISTORTION,FLAT,NS": "FLAT_NS", "DISTORTION,WAVE,NS": "WAVE_NS", "DISTORTION,FLAT,TECH": "FLAT_NS",
        "DISTORTION,WAVE,TECH": "WAVE_NS", "STD": "STD", "SKY,STD": "SKY_STD", "OBJECT": "OBJECT_NODDING",
        "SKY": "SKY_NODDING",
    },
}  # fmt: skip
SCIENCE = {"KMOS": ("SCIENCE",), "SINFONI": ("OBJECT_NODDING", "SKY_NODDING")}
STANDARD = {"KMOS": ("STD",), "SINFONI": ("STD", "SKY_STD")}
_GAP = 1.0 / 24  # days between two frames of one tag that belong to different sequences
_ANY_SETUP = {"DARK"}  # taken with no light: of any band
_ANY_OPTICS = {
    "FIBRE_NS",
    "FLAT_NS",
    "WAVE_NS",
}  # SINFONI takes them with the finest spaxels only (same pages, dist_QC1)


@dataclass(frozen=True)
class RawFrame:
    """One raw frame.

    Parameters
    ----------
    path : str
    instrument : str
        KMOS | SINFONI.
    tag : str
        Of `TAGS`.
    setup : str
        Band, with SINFONI also the pre-optics: ``H`` or ``H_0.25``.
    time : float
        MJD.
    dit : float
        Seconds of one integration.
    target : str
        ``OBJECT``.
    """

    path: str
    instrument: str
    tag: str
    setup: str
    time: float
    dit: float
    target: str


def read_raw(path):
    """Read the header of a file.

    Returns
    -------
    RawFrame, or None for a frame that no recipe here uses: acquisitions, other templates, pipeline products.

    Raises
    ------
    InputError
        The file cannot be read as FITS, or lacks MJD-OBS or the grating.
    """
    from astropy.io import fits

    try:
        header = fits.getheader(path)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as FITS ({error}); uncompress it (gunzip) if it ends in .Z, else download it again."
        ) from error
    instrument = str(header.get("INSTRUME", "")).strip().upper()
    kind = str(header.get("ESO DPR TYPE", "")).replace(" ", "").upper()
    category = str(header.get("ESO DPR CATG", "")).strip().upper()
    tag = TAGS.get(instrument, {}).get(kind)
    expected = "SCIENCE" if tag in SCIENCE.get(instrument, ()) else "CALIB"
    if tag is None or category != expected:
        return None
    for key in ("MJD-OBS", "ESO INS GRAT1 ID" if instrument == "KMOS" else "ESO INS GRAT1 NAME"):
        if key not in header:
            raise InputError(
                f"{path} has no {key}, so it belongs to no observation; give the frame as the archive has it."
            )
    if instrument == "KMOS":
        setup = str(header["ESO INS GRAT1 ID"]).strip()
    else:
        setup = f"{str(header['ESO INS GRAT1 NAME']).strip()}_{str(header.get('ESO INS OPTI1 NAME', '')).strip()}"
    dit = header.get("ESO DET SEQ1 DIT", header.get("ESO DET DIT", header.get("EXPTIME")))
    return RawFrame(
        str(path), instrument, tag, setup, float(header["MJD-OBS"]), float(dit) if is_number(dit) else np.nan,
        str(header.get("OBJECT", "")).strip(),
    )  # fmt: skip


def sequences(frames):
    """Split frames of one tag into sequences: in order of time, a gap of more than an hour starts another.

    Returns
    -------
    list of list of RawFrame
    """
    ordered = sorted(frames, key=lambda frame: (frame.time, frame.path))
    result = []
    for frame in ordered:
        if result and frame.time - result[-1][-1].time < _GAP:
            result[-1].append(frame)
        else:
            result.append([frame])
    return result


def associated(frames, tag, setup, time, dit=None):
    """Return the sequence of calibrations of a tag that was taken nearest in time.

    Parameters
    ----------
    frames : list of RawFrame
    tag, setup : str
        Darks are of any setup, the distortion frames of SINFONI of any pre-optics.
    time : float
        MJD of the observation.
    dit : float, optional
        Seconds; only frames with this integration, if there are any.

    Returns
    -------
    list of RawFrame
        Empty without any.
    """
    own = [frame for frame in frames if frame.tag == tag and _is_of(frame.setup, tag, setup)]
    if dit is not None:
        own = [frame for frame in own if np.isclose(frame.dit, dit, rtol=1e-3)] or own
    found = sequences(own)
    return min(found, key=lambda group: min(abs(frame.time - time) for frame in group)) if found else []


def _is_of(own, tag, setup):
    """Whether a calibration of this tag and setup serves observations of another setup."""
    if tag in _ANY_OPTICS:
        return own.partition("_")[0] == setup.partition("_")[0]
    return tag in _ANY_SETUP or own == setup
