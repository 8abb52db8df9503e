"""Inspection of the exposures of a pointing: whether everything is there that its reduction needs."""

from astropy.io import fits

from klever.cubes.spectral import spectral_axis
from klever.errors import InputError
from klever.reduce.arms import star_ifus, target_ifus
from klever.reduce.frames import check_wavelengths
from klever.reduce.pointing import load_pointing
from klever.reduce.sinfoni import noise_of
from klever.reduce.sinfonifield import read_field

__all__ = ["inspect_exposures"]

_FEWEST = 3  # exposures that a clipped mean needs


def inspect_exposures(request):
    """Read the headers of the exposures of a pointing as its reduction will.

    Parameters
    ----------
    request : dict
        pointing, band, instrument (KMOS or SINFONI), exposures and standard (paths; None if simulated), galaxies,
        stars.

    Returns
    -------
    found : dict
        Columns of `klever.inspection.inputs.COLUMNS`.
    errors, warnings : list of str

    Raises
    ------
    InputError
        The exposures cannot be reduced.
    """
    if request["exposures"] is None:
        return {}, [], []
    if request["instrument"] == "SINFONI":
        number = _sinfoni(request)
    else:
        number = _kmos(request)
    warnings = []
    if number < _FEWEST:
        warnings.append(f"{number} exposures of the target are too few to clip what only one of them has")
    if not request["standard"]:
        warnings.append("there is no standard star: the cubes stay in counts")
    return {"format": f"{request['instrument']} exposures", "unit": "counts"}, [], warnings


def _kmos(request):
    """Check targets, stars, skies, noise and band; return how many exposures are of the targets."""
    pointing = load_pointing(request["exposures"])
    star_ifus(pointing, request["stars"])
    ifus = target_ifus(pointing, [*request["stars"], *request["galaxies"]])
    first = None
    for frame in pointing.frames:
        with fits.open(frame.path, memmap=True) as hdus:
            names = {hdu.name for hdu in hdus if hdu.header.get("NAXIS") == 3}
            channels = {ifu: _channels(hdus, ifu) for ifu in ifus.values() if f"IFU.{ifu}.DATA" in names}
            band = hdus[0].header.get("ESO INS GRAT1 ID", hdus[0].header.get("ESO INS FILT1 ID"))
        for name, ifu in ifus.items():
            if ifu in frame.kinds and f"IFU.{ifu}.NOISE" not in names:
                raise InputError(
                    f"{frame.path} has no cube in IFU.{ifu}.NOISE ({name}); reconstruct it with its noise."
                )
        if band is not None and str(band).strip() != request["band"]:
            raise InputError(
                f"{frame.path} is of band {band}, not of {request['band']}; correct the pattern of its row."
            )
        for wavelength in channels.values():
            first = first or (frame.path, wavelength)
            check_wavelengths(*first, frame.path, wavelength)
    if request["standard"]:
        for frame in load_pointing(request["standard"]).frames:
            with fits.open(frame.path, memmap=True) as hdus:
                check_wavelengths(*first, frame.path, _channels(hdus, min(frame.kinds)))
    return len(pointing.objects)


def _channels(hdus, ifu):
    """Wavelengths of an IFU, um, by its header."""
    header = hdus[f"IFU.{ifu}.DATA"].header
    return spectral_axis(header, header["NAXIS3"], hdus)[0]


def _sinfoni(request):
    """Check skies and grids; return how many exposures are of the target."""
    objects, skies = read_field(request["exposures"])
    noise_of(objects, skies, {"sinfoni_noise": {"gain": 1.0, "read_noise": 1.0}})
    if request["standard"]:
        stars, blank = read_field(request["standard"])
        noise_of(stars, blank, {"sinfoni_noise": {"gain": 1.0, "read_noise": 1.0}})
        check_wavelengths(objects[0].path, objects[0].wavelength, stars[0].path, stars[0].wavelength)
    return len(objects)
