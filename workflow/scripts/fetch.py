"""One file from an archive: downloaded whole, checked, and recorded in the lock file."""

from pathlib import Path

from klever.archive.contents import check_content
from klever.archive.download import Policy, download
from klever.archive.lock import Lock
from klever.archive.sources import address_of
from klever.errors import InputError


def fetch(file, settings):
    """Download `file`.

    Parameters
    ----------
    file : path-like
        Output; what is downloaded of it stays beside it (``.part``) when the download breaks, and is continued.
    settings : dict
        ``source``, ``size``, ``sha256`` (None where not known), ``lock`` (path of the lock file) and ``acquire`` with
        the addresses, ``retries``, ``backoff`` and ``timeout``.

    Raises
    ------
    InputError
        The archive does not give the file, or gives another one than the table or the lock file say.
    """
    options, file = settings["acquire"], Path(file)
    lock = Lock(settings["lock"])
    known = lock.entry(file) or {}
    if known and known["source"] != settings["source"]:
        known = {}  # the table asks for another file under this name
    url, headers = address_of(settings["source"], options)
    for name in ("size", "sha256"):
        if None not in (settings[name], known.get(name)) and settings[name] != known[name]:
            raise InputError(
                f"{file}: the table gives the {name} {settings[name]}, the lock file {known[name]}; correct the table, "
                "or remove the file's entry from the lock file."
            )
    policy = Policy(int(options["retries"]), float(options["backoff"]), float(options["timeout"]))
    expected = {name: known.get(name) if settings[name] is None else settings[name] for name in ("size", "sha256")}
    found = download(
        url, file, **expected, headers=headers, policy=policy, check=lambda path: check_content(path, file.name)
    )
    lock.record(file, {"source": settings["source"], "url": url, "size": found.size, "sha256": found.sha256})


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, fetch)
