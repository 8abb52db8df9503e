"""The lock file: what was downloaded, from where, with which size and checksum."""

import fcntl
import json
import os
from contextlib import contextmanager
from pathlib import Path

from klever.archive.download import file_digest
from klever.errors import InputError

__all__ = ["Lock"]


class Lock:
    """Sizes and checksums of downloaded files.

    Several jobs may write it at once.

    Parameters
    ----------
    path : path-like
        JSON: by file, ``source``, ``url``, ``size`` and ``sha256``.
    """

    def __init__(self, path):
        self.path = Path(path)

    def entry(self, file):
        """Return the entry of a file, None if it was never downloaded.

        Raises
        ------
        InputError
            The lock file is damaged.
        """
        return self._read().get(str(file))

    def record(self, file, entry):
        """Write the entry of a file."""
        with self._alone():
            entries = self._read() | {str(file): entry}
            fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            fresh.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", encoding="utf-8")
            fresh.replace(self.path)

    def problems(self, folder):
        """Return a sentence for every recorded file that is missing in `folder` or is not what was downloaded."""
        found = []
        for name, entry in self._read().items():
            path = Path(folder) / name
            if not path.is_file():
                found.append(f"{name} is recorded but not there")
            elif path.stat().st_size != entry["size"]:
                found.append(f"{name} has {path.stat().st_size} bytes, {entry['size']} are recorded")
            elif file_digest(path) != entry["sha256"]:
                found.append(f"{name} was changed since it was downloaded (its checksum differs)")
        return found

    def _read(self):
        if not self.path.is_file():
            return {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            wanted = {"source": str, "url": str, "size": int, "sha256": str}
            good = all(isinstance(entry[key], kind) for entry in entries.values() for key, kind in wanted.items())
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            good = False
        if not good:
            raise InputError(f"{self.path} is no lock file of downloads; restore it, or remove it to record them anew.")
        return entries

    @contextmanager
    def _alone(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + ".guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
