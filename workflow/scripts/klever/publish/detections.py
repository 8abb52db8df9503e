"""Table 2: position, redshift and detected lines of each galaxy (Curti et al. 2020, Table 2 and Sect. 3.1)."""

import numpy as np

from klever.errors import InputError
from klever.maps import Flag
from klever.publish.published import read_published
from klever.row_tables import Column, read_table

__all__ = [
    "band_column", "band_columns", "detected_notation", "galaxy_rows", "published_sample", "read_lines", "redshift",
    "sexagesimal", "table2_columns",
]  # fmt: skip

# What the paper's Table 2 prints for the lines, in its order; a species is listed if any of its lines is detected.
_NOTATION = (
    ("[OII]", ("OII3726", "OII3729", "OII")), ("[OIII]", ("OIII4959", "OIII5007")), ("Hb", ("Hbeta",)),
    ("Ha", ("Halpha",)), ("[NII]", ("NII6548", "NII6584")), ("[SII]", ("SII6717", "SII6731")),
    ("[SIII]", ("SIII9069", "SIII9531")),
)  # fmt: skip
_SUMS = {"OII", "SII"}  # of lines that have a notation: no notation of their own
_NEEDED = ["galaxy", "band", "line", "group", "snr", "detected", "z", "z_error", "flags"]
_SURE_SNR = 5.0
_PAPER_BANDS = {"J": "lines_YJ", "H": "lines_H", "K": "lines_K"}


def read_lines(path, known):
    """Return galaxy, band and rows of a ``lines.ecsv``.

    Parameters
    ----------
    path : path-like
        A table of rule lines; empty if none of the lines falls in the band.
    known : collection of str
        Lines and sums that count; other rows (a broad second component) are left out.

    Returns
    -------
    galaxy, band : str
    rows : list of dict
        ``line``, ``group``, ``detected``, ``flags``, and ``snr``, ``z``, ``z_error`` (NaN where missing).

    Raises
    ------
    InputError
        The table cannot be read or does not say which galaxy and band it is of.
    """
    table = read_table(path, _NEEDED)
    if not {"galaxy", "band"} <= set(table.meta):
        raise InputError(f"{path} does not name its galaxy and band in the metadata; make it again with rule lines.")
    numbers = {name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in ("snr", "z", "z_error")}
    rows = [
        {
            "line": str(row["line"]), "group": str(row["group"]),
            "detected": bool(np.ma.filled(row["detected"], False)), "flags": int(np.ma.filled(row["flags"], 0)),
            **{name: float(column[index]) for name, column in numbers.items()},
        }
        for index, row in enumerate(table)
        if str(row["line"]) in known
    ]  # fmt: skip
    return str(table.meta["galaxy"]), str(table.meta["band"]), rows


def published_sample(path):
    """Return the paper's Table 2 by galaxy.

    Returns
    -------
    dict of str to dict
        ``z`` and ``lines`` (by column J, H, K: notation, ``-`` for none detected, None for not observed).

    Raises
    ------
    InputError
        A column is missing or a redshift is no number.
    """

    def parse(row):
        cells = {band: row[column] for band, column in _PAPER_BANDS.items()}
        lines = {band: None if cell == "not_observed" else cell or "-" for band, cell in cells.items()}
        return row["id"], {"z": float(row["z_halpha"]), "lines": lines}

    columns = f"id, z_halpha, {', '.join(_PAPER_BANDS.values())}"
    return dict(read_published(path, "the published sample", columns, parse))


def redshift(rows):
    """Return the weighted redshift of the detected lines.

    Lines that are fitted together share one velocity, so each group of each band counts once, with the inverse variance
    of its redshift as weight. Where the groups differ by more than their errors say, the error is multiplied by
    sqrt(chi2 / (n - 1)). Groups whose velocity is at the edge of its search range do not count, nor does a faint group
    (no line at S/N 5) more than 3 sigma from the group with the most significant line: in a search over velocity the
    highest peak of the noise reaches S/N 3 every so often.

    Parameters
    ----------
    rows : list of dict
        Of all bands of a galaxy, with ``band`` besides what `read_lines` gives.

    Returns
    -------
    z, z_error : float
        NaN if no line is detected.
    groups : list of str
        ``band:group`` of what was used.
    """
    measured = {}
    for row in rows:
        usable = row["detected"] and np.isfinite(row["z"]) and row["z_error"] > 0 and np.isfinite(row["z_error"])
        if usable and not row["flags"] & Flag.VELOCITY_BOUND:
            name = f"{row['band']}:{row['group']}"
            snr = max(row["snr"], measured.get(name, (0, 0, 0))[2])
            measured[name] = (row["z"], row["z_error"], snr)
    if not measured:
        return np.nan, np.nan, []
    z, error, snr = np.array(list(measured.values())).T
    best = np.argmax(snr)
    used = (snr >= _SURE_SNR) | (np.abs(z - z[best]) <= 3 * np.hypot(error, error[best]))
    z, weight = z[used], error[used] ** -2
    mean = np.average(z, weights=weight)
    scatter = np.sum(weight * (z - mean) ** 2) / (len(z) - 1) if len(z) > 1 else 1.0
    names = [name for name, kept in zip(measured, used, strict=True) if kept]
    return float(mean), float(np.sqrt(max(1.0, scatter) / weight.sum())), names


def detected_notation(rows):
    """Return the detected lines as the paper writes them, for example ``Ha+[NII]+[SII]``; ``-`` for none.

    Lines that the paper does not have are listed by their own name, after the others.
    """
    found = {row["line"] for row in rows if row["detected"]}
    listed = [name for name, members in _NOTATION if found & set(members)]
    ours = {member for _, members in _NOTATION for member in members} | _SUMS
    return "+".join(listed + [row["line"] for row in rows if row["line"] in found - ours]) or "-"


def band_column(band):
    """Return the column of a band: the paper's J-Band holds KMOS YJ and SINFONI J."""
    return "J" if band == "YJ" else band


def band_columns(galaxies):
    """Return the columns of the bands of the survey: J, H, K, then others in the order of the observations."""
    seen = dict.fromkeys(band_column(band) for entry in galaxies for band in entry["bands"])
    return [band for band in _PAPER_BANDS if band in seen] + [band for band in seen if band not in _PAPER_BANDS]


def sexagesimal(degrees, decimals, hours=False):
    """Return an angle as ``hh:mm:ss.s`` (`hours`) or ``+dd:mm:ss.s`` with `decimals` of the seconds."""
    unit = 10**decimals
    total = round(abs(degrees) / (15 if hours else 1) * 3600 * unit)
    if hours:
        total %= 24 * 3600 * unit
    minutes, seconds = divmod(total, 60 * unit)
    sign = "" if hours else "-" if degrees < 0 else "+"
    width = decimals + 3 if decimals else 2
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds / unit:0{width}.{decimals}f}"


def galaxy_rows(lines, galaxies, published):
    """Return one row of Table 2 for each galaxy.

    Parameters
    ----------
    lines : dict of (str, str) to list of dict
        Rows of `read_lines` by galaxy and band.
    galaxies : list of dict
        ``galaxy``, ``name``, ``lens``, ``ra``, ``dec`` (degree), ``z``, ``simulated`` and ``bands`` (instrument by
        band), in the order to print.
    published : dict
        From `published_sample`.

    Returns
    -------
    list of dict
        By the names of `table2_columns`.

    Raises
    ------
    InputError
        The lines of an observed band are not given.
    """
    rows = []
    for entry in galaxies:
        name, cells, every = entry["galaxy"], {}, []
        for band in entry["bands"]:
            if (name, band) not in lines:
                raise InputError(f"There is no lines.ecsv of {name}, band {band}; run the step lines on it.")
            found = [row | {"band": band} for row in lines[name, band]]
            cells.setdefault(band_column(band), []).extend(found)
            every += found
        z, z_error, groups = redshift(every)
        paper = published.get(name, {"z": np.nan, "lines": {}})
        rows.append(
            {
                "galaxy": name, "name": entry["name"], "lens": entry["lens"], "ra": entry["ra"], "dec": entry["dec"],
                "ra_hms": sexagesimal(entry["ra"], 3, hours=True), "dec_dms": sexagesimal(entry["dec"], 2),
                "instrument": "+".join(dict.fromkeys(entry["bands"].values())), "bands": "+".join(entry["bands"]),
                "z": z if groups else entry["z"], "z_error": z_error, "z_source": "lines" if groups else "catalogue",
                "z_groups": "+".join(groups) or None, "simulated": bool(entry["simulated"]),
                "published_z": paper["z"],
                **{f"lines_{band}": detected_notation(found) for band, found in cells.items()},
                **{f"published_lines_{band}": text for band, text in paper["lines"].items()},
            }
        )  # fmt: skip
    return rows


def table2_columns(bands):
    """Return the columns of Table 2 for these columns of bands (`band_columns`)."""
    origin = "the paper's value for the real galaxy, Curti et al. (2020), Table 2"
    return [
        Column("galaxy", str, "galaxy, as in galaxies.tsv"),
        Column("name", str, "name as printed"),
        Column("lens", str, "lens"),
        Column("ra", float, "catalogue right ascension, ICRS", "deg"),
        Column("dec", float, "catalogue declination, ICRS", "deg"),
        Column("ra_hms", str, "right ascension in hours, minutes, seconds"),
        Column("dec_dms", str, "declination in degrees, arcminutes, arcseconds"),
        Column("instrument", str, "instruments of the bands"),
        Column("bands", str, "observed bands"),
        Column("z", float, "redshift: inverse-variance mean over the groups of detected lines in z_groups"),
        Column("z_error", float, "1 sigma; missing for a catalogue redshift"),
        Column("z_source", str, "lines: measured here; catalogue: no line is detected, the redshift is galaxies.tsv's"),
        Column("z_groups", str, "band:group of the lines the redshift is from"),
        *(Column(f"lines_{band}", str, f"lines detected in the {band} band (- for none; missing: not observed)")
          for band in bands),
        Column("simulated", bool, "are the cubes simulated? then the lines are not those of the real galaxy"),
        Column("published_z", float, f"redshift, {origin}"),
        *(Column(f"published_lines_{band}", str, f"lines detected in the {band} band (- for none), {origin}")
          for band in bands if band in _PAPER_BANDS),
    ]  # fmt: skip
