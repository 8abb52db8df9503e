"""Run one step of the workflow as a Snakemake job: log, errors as sentences, provenance."""

import ctypes
import errno
import logging
import os
import sys
from pathlib import Path

from klever import provenance
from klever.errors import KleverError

__all__ = ["run"]

logger = logging.getLogger("klever")

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


def run(snakemake, step):
    """Call `step` with the named inputs and outputs of a rule and its settings.

    Everything that is printed or logged goes to the rule's log file.  An error ends the job with status 1 and a last
    log line that starts with ``ERROR:`` and names the galaxy, which the status table quotes.

    Parameters
    ----------
    snakemake : snakemake.script.Snakemake
        The object Snakemake puts into a script.
    step : callable
        Takes every named input and output as a path (or list of paths) and `settings`, a plain dict.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = log.open("w", buffering=1, encoding="utf-8")
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, format="%(levelname)s: %(message)s")
    for name in ("klever", "klever_simulation", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    files = {name: _paths(value) for name, value in [*snakemake.input.items(), *snakemake.output.items()]}
    _keep_memory()
    settings = dict(snakemake.params.settings)
    where = " ".join(settings[key] for key in ("galaxy", "band") if key in settings) or settings.get("lens", "")
    logger.info("%s %s", snakemake.rule, where)
    provenance.begin({name: _paths(value) for name, value in snakemake.input.items()}, settings)
    try:
        step(**files, settings=settings)
    except KleverError as error:
        logger.error("%s: %s", where or snakemake.rule, error)
        sys.exit(1)
    except Exception as error:
        logger.exception("unexpected error")
        if isinstance(error, OSError) and (reason := _disk_reason(error)):
            place = error.filename or next(iter(snakemake.output), "the disk")
            logger.error(
                "%s: %s cannot be written or read: %s; make room or give access, then run again.",
                where or snakemake.rule, place, reason,
            )  # fmt: skip
            sys.exit(1)
        logger.error(
            "%s: the step %s failed unexpectedly (%s: %s); the traceback is in %s, please report it.",
            where or snakemake.rule, snakemake.rule, type(error).__name__, error, log,
        )  # fmt: skip
        sys.exit(1)


def _keep_memory():
    """Keep the memory of freed arrays for the next ones: asking the system for it anew takes up to a quarter of a job.

    Of the GNU C library only; elsewhere nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _disk_reason(error):
    """Return what the disk says that could not be written or read; empty if the error is of another kind."""
    if str(error).startswith("Not enough space on disk"):  # astropy's own words, without a number
        return os.strerror(errno.ENOSPC)
    return os.strerror(error.errno) if error.errno in _DISK else ""


def _paths(value):
    return value if isinstance(value, str) else [str(item) for item in value]
