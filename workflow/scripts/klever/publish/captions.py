"""What a caption says of its input and of the settings that made the product: for the report and for ``make paper``."""

import hashlib
import json

from klever import __version__

__all__ = ["caption_note", "caption_notes", "input_grade"]


def input_grade(survey):
    """Return in a few words what the survey's data are: simulated, own, or how many of which.

    Parameters
    ----------
    survey : klever.config.survey.Survey
    """
    simulated = sum(survey.simulated(galaxy) for galaxy in survey.galaxies)
    if simulated == len(survey.galaxies):
        return "simulated data"
    if not simulated:
        return "the survey's own data"
    return f"{simulated} of {len(survey.galaxies)} galaxies simulated, the others the survey's own data"


def caption_notes(survey):
    """Return what captions quote of the survey, as plain text.

    Parameters
    ----------
    survey : klever.config.survey.Survey

    Returns
    -------
    dict
        ``grade`` of the survey; ``grades`` of each galaxy (str by name) where they differ; ``stages``, one clause on
        the settings of each of lines, lensing, properties, gradients, population, targets and reduction; ``own``, by
        galaxy, the settings that differ for it (galaxies without any are left out); ``galaxies``, their number,
        and ``count``, the same in words;
        ``simulated``, whether any is; ``version`` of the workflow; ``digest`` of galaxies, observations and settings.
    """
    simulated = {galaxy: survey.simulated(galaxy) for galaxy in survey.galaxies}
    grades = {galaxy: "simulated data" if made else "the survey's own data" for galaxy, made in simulated.items()}
    own = {galaxy: text for galaxy in survey.with_own_settings() if (text := _differences(survey, galaxy))}
    return {
        "grade": input_grade(survey),
        "grades": grades if len(set(simulated.values())) > 1 else {},
        "stages": _stages(survey.survey_settings()),
        "own": own,
        "galaxies": len(survey.galaxies),
        "count": f"{len(survey.galaxies)} {'galaxy' if len(survey.galaxies) == 1 else 'galaxies'}",
        "simulated": any(simulated.values()),
        "version": __version__,
        "digest": _digest(survey, own),
    }


def caption_note(notes, stage, galaxy="", printed=False):
    """Return the sentences that a caption ends with: input, version, settings.

    Parameters
    ----------
    notes : dict
        From `caption_notes`.
    stage : str
        One of its stages; empty for no settings.
    galaxy : str, optional
        Of a product on one galaxy (or lens): its own input, and the settings in which it differs.
    printed : bool, optional
        The product is made of the printed tables of the paper, not of the survey.
    """
    grade = "the printed values of Curti et al. (2020)" if printed else notes["grades"].get(galaxy, notes["grade"])
    text = f"Input: {grade}; klever {notes['version']}."
    text += f" Settings: {notes['stages'][stage]}." if stage else ""
    if galaxy in notes["own"]:
        return f"{text} Of its own: {notes['own'][galaxy]}."
    several = stage and not printed and not galaxy and notes["own"]
    return f"{text} Settings of their own: {', '.join(notes['own'])}." if several else text


def _digest(survey, own):
    """Return 12 hexadecimal digits that change with any galaxy, observation or setting."""
    tables = [
        [name, survey.galaxy(name), {band: survey.observation(name, band) for band in survey.bands(name)}]
        for name in survey.galaxies
    ]
    content = json.dumps([tables, survey.survey_settings(), own], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _stages(settings):
    """Return one clause on the settings of each stage."""
    lines, align, lens, source = (settings[name] for name in ("lines", "align", "lens", "source"))
    metallicity, gradient, dust = (settings[name] for name in ("metallicity", "gradient", "dust"))
    population, targets, reduce, cosmology = (
        settings[name] for name in ("population", "targets", "reduce", "cosmology")
    )
    smoothing = (
        f"smoothed to {lines['smoothing_fwhm']} arcsec"
        if lines["binning"] == "none"
        else f"{lines['binning']} bins of S/N {lines['bin_snr']:g}"
    )
    cuts = metallicity["map_snr"]
    ratios = metallicity["diagnostics"]
    abundances = (
        f"calibration {metallicity['calibration']}, line ratios "
        f"{ratios if isinstance(ratios, str) else ', '.join(ratios)}, S/N cuts of maps "
        f"{', '.join(f'{name} {value:g}' for name, value in cuts.items())}"
    )
    universe = f"H0 {cosmology['H0']:g} km/s/Mpc, Om {cosmology['Om0']:g}, OL {cosmology['Ode0']:g}"
    return {
        "targets": f"{targets['instrument']} {', '.join(targets['bands'])}, lost where OH emission exceeds "
        f"{targets['bright']:g} times the mean of the band",
        "reduction": f"from {reduce['start']}, aligned by {reduce['alignment']}, {reduce['pixel_scale']:g} arcsec "
        f"pixels, pixfrac {reduce['pixfrac']:g}",
        "lines": f"{smoothing}, detection at S/N {lines['detection_snr']:g}, pseudo-fibre of radius "
        f"{lines['aperture_radius']:g} arcsec, {lines['doublet_ratios']} doublet ratios, errors by {lines['errors']}",
        "lensing": f"aligned by {align['method']}, source plane of {source['pixel_scale']:g} arcsec by "
        f"{source['method']}, {lens['realisations']} realisations of the lens model",
        "properties": f"{abundances.split(', S/N')[0]}, Balmer ratio {dust['balmer_ratio']:g}, R_V {dust['rv']:g}, "
        f"{universe}",
        "gradients": f"{abundances}, annuli of {gradient['step']:g} PSF widths, slope of {gradient['method']}, errors "
        f"by {gradient['errors']}",
        "population": f"{population['estimator']} regression, {population['bootstrap']} bootstrap samples, literature "
        f"at z >= {population['minimum_redshift']:g}, {universe}",
    }


def _differences(survey, galaxy):
    """Return the settings of a galaxy that differ from the survey's, as text."""
    common, own = survey.survey_settings(), survey.settings(galaxy)
    found = [
        f"{section}.{key} = {_plain(own[section][key])}"
        for section in own
        for key in own[section]
        if own[section][key] != common[section].get(key)
    ]
    return "; ".join(found)


def _plain(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list) else str(value)
