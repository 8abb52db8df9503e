"""The compiled engine: the algorithm of the NumPy one, spectrum by spectrum in machine code (numba).

Everything is serial: a spectrum's result does not depend on the others, to the last bit.

Numba keeps the machine code on disk, but does not see when a function or a constant in it changed in another file; so
it is kept under a digest of this folder and of what that takes its constants from, in ``KLEVER_KERNEL_CACHE`` (the
workflow's ``results/kernel``) or beside this file.
"""

import hashlib
import os
from pathlib import Path

import numba

_HERE = Path(__file__).parent
# by path: these modules import this package
_CONSTANTS = ("linalg", "normal", "posterior", "search", "vectorised", "window", "../spectral_lines")
SOURCES = (*sorted(_HERE.glob("*.py")), *((_HERE.parent / f"{name}.py").resolve() for name in _CONSTANTS))
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]

numba.config.CACHE_DIR = str(Path(os.environ.get("KLEVER_KERNEL_CACHE", _HERE / "__pycache__")).absolute() / _DIGEST)
