"""In a job of Snakemake, hides the packages that the environment of its rule does not bring (see environments.py)."""

import json
import os
import re
import sys
from importlib.machinery import PathFinder

script = re.search(r"/scripts/tmp\w+\.(\w+)\.py$", sys.orig_argv[1]) if len(sys.orig_argv) == 2 else None
if script and "KLEVER_REFUSED_IMPORTS" in os.environ:
    with open(os.environ["KLEVER_REFUSED_IMPORTS"]) as stream:  # noqa: PTH123 - pathlib would slow every job
        refused = frozenset(json.load(stream)[script.group(1)])

    class Environment(PathFinder):
        """Finds what the rule's environment brings."""

        @classmethod
        def find_spec(cls, fullname, path=None, target=None):
            """Return where a module is, None if the environment lacks it."""
            if fullname.partition(".")[0] in refused:
                return None
            return PathFinder.find_spec(fullname, path, target)

    sys.meta_path[:] = [Environment if finder is PathFinder else finder for finder in sys.meta_path]
