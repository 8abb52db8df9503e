"""The ESO archive: science products and raw frames of observing programmes, by TAP; their links, by datalink."""

import re
import warnings

import numpy as np

from klever.archive.sessions import OwnLogins
from klever.errors import InputError
from klever.row_tables import Column

__all__ = [
    "LINK_COLUMNS",
    "PRODUCT_COLUMNS",
    "RAW_COLUMNS",
    "check_programme",
    "linked_files",
    "raw_frames",
    "science_products",
]

_PROGRAMME = re.compile(r"\d{3}\.[A-Z]-\d{4}(\([A-Z]\))?|\d{3}\.[A-Z0-9]{4}(\.\d{3})?")
_INSTRUMENT = re.compile(r"[A-Z][A-Z0-9_]*")

PRODUCT_COLUMNS = [
    Column("source", str, "what archive.tsv calls the file"),
    Column("programme", str, "programme and run"),
    Column("instrument", str, "instrument"),
    Column("target", str, "name of the target in the observation"),
    Column("ra", float, "right ascension", "deg"),
    Column("dec", float, "declination", "deg"),
    Column("exposure", float, "total exposure time", "s"),
    Column("wavelength_min", float, "shortest wavelength", "um"),
    Column("wavelength_max", float, "longest wavelength", "um"),
    Column("collection", str, "collection of products"),
    Column("size_estimate", int, "size as the archive estimates it", "kbyte"),
    Column("datalink", str, "address of the links of the product: raw frames, calibrations, previews"),
]
RAW_COLUMNS = [
    Column("source", str, "what archive.tsv calls the file"),
    Column("programme", str, "programme and run"),
    Column("instrument", str, "instrument"),
    Column("target", str, "name of the target"),
    Column("ra", float, "right ascension", "deg"),
    Column("dec", float, "declination", "deg"),
    Column("exposure", float, "exposure time", "s"),
    Column("category", str, "SCIENCE, CALIB or ACQUISITION"),
    Column("type", str, "OBJECT, SKY, STD, ..."),
    Column("filter", str, "grating or filter"),
    Column("start", str, "start of the exposure, UT"),
    Column("block", int, "number of the observing block"),
    Column("size_estimate", int, "size as the archive estimates it", "kbyte"),
]
LINK_COLUMNS = [
    Column("galaxy", str, "nearest galaxy of the survey"),
    Column("product", str, "science cube that the file belongs to, as in the table of products"),
    Column("semantics", str, "what the file is to the cube: #this, #progenitor, #calibration, #preview, ..."),
    Column("source", str, "what archive.tsv calls the file; empty for what is no file of the archive"),
    Column("url", str, "address"),
    Column("description", str, "in the archive's words"),
    Column("content_type", str, "MIME type"),
    Column("size", int, "size as the archive tells it", "byte"),
]


def check_programme(name):
    """Return what is wrong with an ESO programme id such as 197.A-0717 or 197.A-0717(A), empty if nothing is."""
    return "" if _PROGRAMME.fullmatch(name) else f"{name!r} is no ESO programme such as 197.A-0717 or 197.A-0717(A)."


def science_products(service, programmes, instruments):
    """Return the cubes of programmes that the archive has as science products.

    Parameters
    ----------
    service : str
        Address of the TAP service.
    programmes, instruments : list of str
        A programme without a run in parentheses stands for all its runs.

    Returns
    -------
    list of dict
        By the names of `PRODUCT_COLUMNS`.

    Raises
    ------
    InputError
        A name is not one, or the service does not answer with a table.
    """
    rows = _query(
        service,
        "SELECT dp_id, proposal_id, instrument_name, target_name, s_ra, s_dec, t_exptime, em_min, em_max, "
        "obs_collection, access_estsize, access_url FROM ivoa.ObsCore WHERE dataproduct_type = 'cube' AND "
        f"({_runs('proposal_id', programmes)}) AND {_among('instrument_name', instruments)} ORDER BY dp_id",
    )
    return [
        {
            "source": f"eso:{row['dp_id']}", "programme": row["proposal_id"], "instrument": row["instrument_name"],
            "target": row["target_name"], "ra": row["s_ra"], "dec": row["s_dec"], "exposure": row["t_exptime"],
            "wavelength_min": _micrometre(row["em_min"]), "wavelength_max": _micrometre(row["em_max"]),
            "collection": row["obs_collection"], "size_estimate": row["access_estsize"],
            "datalink": row["access_url"],
        }
        for row in rows
    ]  # fmt: skip


def raw_frames(service, programmes, instruments):
    """Return the raw frames of programmes; parameters and errors as for `science_products`, columns `RAW_COLUMNS`."""
    rows = _query(
        service,
        "SELECT dp_id, prog_id, instrument, object, ra, dec, exposure, dp_cat, dp_type, filter_path, exp_start, ob_id, "
        f"access_estsize FROM dbo.raw WHERE ({_runs('prog_id', programmes)}) AND {_among('instrument', instruments)} "
        "ORDER BY dp_id",
    )
    return [
        {
            "source": f"eso:{row['dp_id']}", "programme": row["prog_id"], "instrument": row["instrument"],
            "target": row["object"], "ra": row["ra"], "dec": row["dec"], "exposure": row["exposure"],
            "category": row["dp_cat"], "type": row["dp_type"], "filter": row["filter_path"],
            "start": row["exp_start"], "block": row["ob_id"], "size_estimate": row["access_estsize"],
        }
        for row in rows
    ]  # fmt: skip


def linked_files(address):
    """Return what belongs to a product by its datalink: the file itself (``#this``), raw frames, previews.

    Parameters
    ----------
    address : str
        ``datalink`` of a product.

    Returns
    -------
    list of dict
        ``semantics``, ``url``, ``description``, ``content_type`` and ``size`` (bytes, None if not told).

    Raises
    ------
    InputError
        The service does not answer with a table of links.
    """
    from pyvo.dal.adhoc import DatalinkResults

    table = _table(lambda: DatalinkResults.from_result_url(address, session=OwnLogins()), "datalink", address)
    return [
        {
            "semantics": row["semantics"], "url": row["access_url"], "description": row.get("description"),
            "content_type": row.get("content_type"), "size": row.get("content_length"),
        }
        for row in table if row["access_url"]
    ]  # fmt: skip


def _query(service, adql):
    from pyvo.dal import TAPService

    # a limit far above any programme; the archive's own default is smaller than one large programme
    return _table(lambda: TAPService(service, session=OwnLogins()).search(adql, maxrec=1_000_000), "TAP", service)


def _table(ask, what, address):
    from pyvo.dal.exceptions import DALAccessError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the VOTable's own conformity
            found = ask().to_table()
    except (DALAccessError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"The {what} service at {address} did not answer with a table ({reason}).") from error
    return [{name: _plain(row[name]) for name in found.colnames} for row in found]


def _plain(value):
    """Return a cell as text, number or None."""
    if value is np.ma.masked or value is None:
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _micrometre(metres):
    return None if metres is None else metres * 1e6


def _runs(column, programmes):
    """ADQL of: the programme, or one of its runs. Names are checked, so that nothing else gets into the query."""
    if problem := next((text for name in programmes if (text := check_programme(name))), ""):
        raise InputError(f"acquire.programmes: {problem}")
    return " OR ".join(
        f"{column} = '{name}'" if name.endswith(")") else f"{column} LIKE '{name}%'" for name in programmes
    )


def _among(column, names):
    if bad := [name for name in names if not _INSTRUMENT.fullmatch(name)]:
        raise InputError(f"acquire.instruments: {bad[0]!r} is no instrument of ESO, such as KMOS.")
    return f"{column} IN ({', '.join(repr(name) for name in names)})"
