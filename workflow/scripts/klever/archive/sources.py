"""Where a source such as ``eso:ADP.2016-...`` or ``mast:frontier/...`` is found."""

import re

from klever.archive.credentials import eso_headers
from klever.errors import InputError

__all__ = ["KINDS", "address_of", "check_source"]

KINDS = ("eso", "mast", "https")
_ESO_ID = re.compile(r"[A-Z][A-Za-z0-9_]*\.\d{4}-\d\d-\d\dT\d\d[:_]\d\d[:_]\d\d\.\d{1,3}")
_MAST_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(/[A-Za-z0-9][A-Za-z0-9_.+-]*)+")


def check_source(source):
    """Return what is wrong with a source as a sentence, an empty text if nothing is."""
    kind, _, name = source.partition(":")
    if kind == "eso":
        good = _ESO_ID.fullmatch(name)
        return "" if good else f"{name!r} is no ESO file id such as ADP.2016-06-20T14:03:47.033."
    if kind == "mast":
        good = _MAST_PATH.fullmatch(name)
        return "" if good else f"{name!r} is no path below MAST's high-level science products, such as frontier/..."
    if kind == "https":
        return (
            "" if re.fullmatch(r"//[^\s@/]+/\S+", name) else f"{source!r} is no address (a login has no place in it)."
        )
    return f"{source!r} must start with eso:, mast: or https:"


def address_of(source, services):
    """Return the URL of a source and the headers to ask with.

    Parameters
    ----------
    source : str
        ``eso:<file id>``, ``mast:<path below the high-level science products>`` or an https address.
    services : dict
        ``eso_files``, ``eso_token`` and ``mast``: where the archives are.

    Raises
    ------
    InputError
        The source is none of these, or the login fails.
    """
    if problem := check_source(source):
        raise InputError(f"archive table: {problem}")
    kind, _, name = source.partition(":")
    if kind == "eso":
        return f"{services['eso_files'].rstrip('/')}/{name}", eso_headers(services["eso_token"])
    if kind == "mast":
        return f"{services['mast'].rstrip('/')}/{name}", {}
    return source, {}
