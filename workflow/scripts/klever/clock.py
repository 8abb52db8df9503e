"""Files with a date in the future, as a clock that was wrong leaves them."""

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["date_back"]


def date_back(paths, results="results", now=None):
    """Give products with a date in the future the date of now.

    Snakemake refuses what a job makes from an input that is newer than its output.  Whether something is to be made
    again does not change by this: for files that only have another date it compares checksums.

    Parameters
    ----------
    paths : iterable of path-like
        Inputs of the jobs that a run is going to do.
    results : path-like
        Files below it are changed, others are the user's.
    now : float, optional
        Seconds since 1970.

    Returns
    -------
    list of str
        Files with a date in the future that were left alone.
    """
    now, left = time.time() if now is None else now, []
    for path in sorted(set(map(str, paths))):
        with suppress(OSError):
            if Path(path).stat().st_mtime <= now:
                continue
            if Path(path).is_relative_to(results):
                os.utime(path, (now, now))
            else:
                left.append(path)
    return left
