"""The compiled engine: the algorithm of the NumPy one, spectrum by spectrum in machine code (numba).

Everything is serial: a spectrum's result does not depend on the others, to the last bit.

Numba keeps the machine code on disk, but does not see when a function it calls changed in another file; so it is kept
under a digest of this folder, in ``KLEVER_KERNEL_CACHE`` (the workflow's ``results/kernel``) or beside this file.
"""

import hashlib
import os
from pathlib import Path

import numba

_HERE = Path(__file__).parent
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))).hexdigest()[:16]

numba.config.CACHE_DIR = str(Path(os.environ.get("KLEVER_KERNEL_CACHE", _HERE / "__pycache__")).absolute() / _DIGEST)
