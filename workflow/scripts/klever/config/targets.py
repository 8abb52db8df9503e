"""The section ``targets`` of config.yaml: a catalogue that exists, an instrument and bands that are known."""

from klever.config.schema import nearest

__all__ = ["OWN_SURVEY", "check_targets"]

OWN_SURVEY = "survey"
_CONFIG = "config/config.yaml"


def check_targets(settings, instruments, files):
    """Report what cannot be used; the path of the catalogue becomes the expanded one.

    Parameters
    ----------
    settings : dict
        From `klever.config.settings.read_settings`.
    instruments : dict
        Bands of each instrument.
    files : klever.config.files.Files
        Finds the catalogue; its ``problems`` receive the messages.
    """
    options = settings["targets"] if isinstance(settings["targets"], dict) else {}
    catalogue, instrument, bands = (options.get(name) for name in ("catalogue", "instrument", "bands"))
    if isinstance(catalogue, str) and catalogue not in ("", OWN_SURVEY):
        found = files.existing(catalogue, _CONFIG, "targets.catalogue", "catalogue of targets")
        options["catalogue"] = found if found is not None else catalogue
    if not isinstance(instrument, str):
        return
    if instrument not in instruments:
        text = f"there is no instrument {instrument!r}{nearest(instrument, instruments)}"
        files.problems.add(_CONFIG, "targets.instrument", text)
        return
    for index, band in enumerate(bands if isinstance(bands, list) else []):
        if isinstance(band, str) and band not in instruments[instrument]:
            text = f"{instrument} has no band {band!r}{nearest(band, instruments[instrument])}"
            files.problems.add(_CONFIG, f"targets.bands[{index}]", text)
