"""Products that a run replaces, kept beside the new ones until those are made.

Snakemake deletes the products of a job before it runs it again, and whatever a failed job left; a step that fails
would take the last good result with it.  `keep` gives each product that a run is going to replace a second name (a
hard link: no copy, no disk space) under ``results/previous``; `settle` takes those names away again where the run made
the product anew.  What could not be renewed is moved there, so that ``results`` itself holds nothing out of date.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "dependents", "keep", "settle"]

FOLDER = "previous"


def keep(products, results="results"):
    """Give products a second name below ``results/previous``.

    A product that is not there any more keeps the second name that an earlier run gave it.

    Parameters
    ----------
    products : iterable of path-like
        Outputs of the jobs that a run is going to do; those outside `results` are left alone.
    results : path-like
    """
    for path, kept in _places(products, results):
        if path.exists():
            with suppress(OSError):  # no room and no right to write: the jobs that meet it will say so
                _keep(path, kept)


def dependents(products, jobs):
    """Return what was made of products, directly or by way of others.

    A run that was asked for an early product only does not know the later ones; when it fails, Snakemake would take
    them for current once the early one is gone.

    Parameters
    ----------
    products : iterable of path-like
    jobs : list of dict
        ``inputs`` and ``outputs`` of what was made, from `klever.publish.crate.read_jobs`.

    Returns
    -------
    list of str
        Without `products`.
    """
    makers = {}
    for job in jobs:
        for path in job["inputs"]:
            makers.setdefault(path, []).append(job)
    first = list(map(str, products))
    given, found, todo = set(first), {}, first
    while todo:
        for job in makers.get(todo.pop(), ()):
            new = [output for output in job["outputs"] if output not in found and output not in given]
            found.update(dict.fromkeys(new))
            todo.extend(new)
    return list(found)


def settle(unfinished, results="results"):
    """Keep what a failed run could not renew, and forget the rest.

    Parameters
    ----------
    unfinished : iterable of path-like
        Outputs of the jobs that failed or were not begun, out of date or gone.  Those still in place are moved to
        ``results/previous``: a later run that is asked for one product only would take them for current.
    results : path-like

    Returns
    -------
    dict of str to str
        Where the last good product is, by the path it had.
    """
    found = {}
    for path, kept in _places(unfinished, results):
        if path.exists():
            with suppress(OSError):  # of a disk that cannot be written; then nothing was lost either
                _remove(kept)
                kept.parent.mkdir(parents=True, exist_ok=True)
                path.replace(kept)
        if kept.exists():
            found[str(path)] = str(kept)
    folder = Path(results) / FOLDER
    for kept in sorted(folder.rglob("*"), reverse=True):
        if kept.is_dir():
            with suppress(OSError):
                kept.rmdir()
        elif (Path(results) / kept.relative_to(folder)).exists():
            with suppress(OSError):
                kept.unlink()
    with suppress(OSError):
        folder.rmdir()
    return found


def _keep(path, kept):
    _remove(kept)
    kept.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # Snakemake leaves the files of a folder where they are: a job may write into them
        shutil.copytree(path, kept)
        return
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept)


def _places(products, results):
    results = Path(results)
    for product in map(Path, products):
        if product.is_relative_to(results) and not product.is_relative_to(results / FOLDER):
            yield product, results / FOLDER / product.relative_to(results)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
