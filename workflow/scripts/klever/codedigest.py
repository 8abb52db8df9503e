"""Digest of the code behind a script: its own text and that of every module of ours it imports, directly or not.

Snakemake does not notice an edited module that a script imports; this digest, put into a rule's parameters, makes it
rerun exactly the steps that use the module.
"""

import ast
import hashlib
from functools import cache

__all__ = ["code_digest", "imported_modules", "local_closure"]


@cache
def imported_modules(path):
    """Return the dotted names a Python file imports anywhere in it, ``from a import b`` as both ``a`` and ``a.b``."""
    names, todo = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:  # through statements only: `ast.walk` spends ten times as long on the expressions in them
        node = todo.pop()
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo.extend(getattr(node, block, ()))
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def local_closure(script):
    """Return the script and all files of its folder's packages that it reaches, sorted.

    Parameters
    ----------
    script : pathlib.Path
        A file of ``workflow/scripts``.
    """
    found, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for name in imported_modules(path):
            todo.extend(_files(script.parent, name))
    return tuple(sorted(found))


@cache
def _files(folder, name):
    """Files behind a dotted name: the module and the ``__init__`` of each package above it."""
    package, _, module = name.rpartition(".")
    above = _files(folder, package) if package else ()
    if package and not above:
        return ()
    stem = folder.joinpath(*package.split("."), module) if package else folder / module
    own = tuple(path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file())
    return above + own


@cache
def code_digest(script):
    """Return 12 hexadecimal digits of the content of everything in `local_closure`."""
    digest = hashlib.sha256()
    for path in local_closure(script):
        digest.update(path.relative_to(script.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
