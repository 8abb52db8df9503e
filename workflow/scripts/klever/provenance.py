"""Where a product comes from: workflow version, digest of its settings, checksums of its inputs."""

import hashlib
import json
from pathlib import Path

from klever import __version__

__all__ = ["begin", "cards", "file_checksum", "settings_digest", "stamp_header", "stamp_table"]

_current = {}


def begin(inputs, settings):
    """Remember the inputs and settings of the running job for the products it writes.

    Parameters
    ----------
    inputs : dict of str to str or list of str
        Named input paths.
    settings : dict
        Plain Python values.
    """
    _current.clear()
    _current["VERSION"] = f"klever {__version__}"
    _current["CONFIG"] = settings_digest(settings)
    _current["INPUTS"] = dict(inputs)


def cards():
    """Return version, settings digest and one checksum per input as a dict; empty outside a job."""
    if not _current:
        return {}
    if not isinstance(_current["INPUTS"], list):
        named = []
        for name, paths in _current["INPUTS"].items():
            for path in [paths] if isinstance(paths, str) else paths:
                if Path(path).is_file():
                    named.append(f"{name} {Path(path).name} {file_checksum(path)}")
        _current["INPUTS"] = named
    return {"version": _current["VERSION"], "config": _current["CONFIG"], "inputs": list(_current["INPUTS"])}


def file_checksum(path):
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def settings_digest(settings):
    """Return 12 hexadecimal digits that change with any scientific setting (not with the code)."""
    content = {key: value for key, value in settings.items() if key != "code"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def stamp_header(header):
    """Write the provenance of the running job into a FITS header (nothing outside a job)."""
    found = cards()
    if not found:
        return
    header["KLVVERS"] = (found["version"], "workflow version")
    header["KLVCONF"] = (found["config"], "digest of the settings of this step")
    for line in found["inputs"]:
        header.add_history(f"input {line}")


def stamp_table(table):
    """Write the provenance of the running job into a table's metadata (nothing outside a job)."""
    found = cards()
    if found:
        table.meta["provenance"] = found
