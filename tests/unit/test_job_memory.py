import platform
import subprocess
import sys
from pathlib import Path

import pytest

import klever

_FRESH_PAGES = """
import resource
import numpy as np
from klever.job import _keep_memory
if {keep}:
    _keep_memory()
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.full(4_000_000, 1.0)
before = pages()
for _ in range(5):
    np.full(4_000_000, 1.0)
print(pages() - before)
"""


def fresh_pages(keep):
    done = subprocess.run(
        [sys.executable, "-c", _FRESH_PAGES.format(keep=keep)], cwd=Path(klever.__file__).parents[1],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_memory_of_freed_arrays_is_used_again():
    assert fresh_pages(keep=True) < 0.1 * fresh_pages(keep=False)
