"""Download a file so that what stands under its name is whole: resumed, retried, checked, then moved into place."""

import fcntl
import hashlib
import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from klever.archive.sessions import OwnLogins
from klever.errors import InputError

__all__ = ["Download", "Policy", "download", "file_digest"]

logger = logging.getLogger(__name__)

_CHUNK = 1 << 18
_FATAL = {
    400: "does not understand the request", 401: "wants a login", 403: "does not allow it", 404: "has no such file",
    410: "has it no longer",
}  # fmt: skip
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Policy:
    """How patient a download is.

    Parameters
    ----------
    retries : int
        Attempts after the first that bring nothing new; an attempt that brings bytes starts the count anew.
    backoff : float
        Seconds before the first of them; doubled each time, at most two minutes.
    timeout : float
        Seconds without a byte after which a connection is given up.
    """

    retries: int = 5
    backoff: float = 2.0
    timeout: float = 60.0


@dataclass(frozen=True)
class Download:
    """A file that arrived whole: bytes, and the SHA-256 of its content."""

    size: int
    sha256: str


class _AgainError(Exception):
    """The attempt failed in a way that another may not; the message says how."""

    def __init__(self, message, wait=0.0):
        super().__init__(message)
        self.wait = wait


def download(url, target, *, size=None, sha256=None, headers=None, policy=None, check=None):
    """Download `url` to `target`.

    Bytes gather in ``<target>.part``, which survives a failure and is continued by the next call, if the server says
    that the file is still the same (ETag or Last-Modified); else it starts over.

    Parameters
    ----------
    url : str
    target : path-like
        Written in one move when everything is right; a file that stands there is replaced only then.
    size, sha256 : int and str, optional
        What the file must have.
    headers : dict, optional
        Of the request (a login); never logged.
    policy : Policy, optional
    check : callable, optional
        Called with the path of the complete file before the move; raises `InputError` if it is not what it should be.

    Returns
    -------
    Download

    Raises
    ------
    InputError
        The server refuses, sends a web page or another file, or does not finish, or another process is downloading the
        file; the message says what to do.
    """
    policy, target = policy or Policy(), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    note = target.with_name(target.name + ".part.json")
    with _alone(target, part, note):
        found = _gather(url, part, note, headers or {}, policy, size)
        try:
            _compare(url, found, size, sha256)
            if check is not None:
                check(part)
        except InputError:
            _forget(part, note)
            raise
        part.replace(target)
    return found


@contextmanager
def _alone(target, part, note):
    """Hold the note on the part, so that two processes never write one part; leave no empty files behind."""
    with note.open("a") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{target} is being downloaded by another process; wait until it is done.") from None
        try:
            yield
        finally:
            if not _length(part):
                part.unlink(missing_ok=True)
                note.unlink(missing_ok=True)


def _gather(url, part, note, headers, policy, size):
    """Ask until the part is complete; returns what it then is."""
    failures = 0
    while True:
        before = _length(part)
        try:
            _attempt(url, part, note, headers, policy, size)
            break
        except _AgainError as problem:
            failures = 1 if _length(part) > before else failures + 1
            if failures > policy.retries:
                raise InputError(
                    f"{url} could not be downloaded: {problem}; {_length(part)} bytes are kept in {part} and the next "
                    "run goes on from there."
                ) from None
            wait = max(problem.wait, min(policy.backoff * 2 ** (failures - 1), 120.0))
            logger.warning("%s: %s; trying again in %.3g s (%d bytes so far)", url, problem, wait, _length(part))
            time.sleep(wait)
    return Download(_length(part), file_digest(part))


def file_digest(path):
    """Return the SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _attempt(url, part, note, headers, policy, size):
    """Fetch what is missing; returns when the file is complete."""
    known = _read_note(note, url)
    start = _length(part) if known else 0
    request = dict(headers) | {"Accept-Encoding": "identity"}
    if start:
        request |= {"Range": f"bytes={start}-", "If-Range": known["validator"]}
    try:
        with (
            OwnLogins() as session,
            session.get(url, headers=request, stream=True, timeout=policy.timeout) as response,
        ):
            _check_answer(url, response)
            total = _total(response, start, size)
            if response.status_code == 416:
                if start == total:
                    return
                _forget(part, note)
                raise _AgainError("the server does not know the part that is missing")
            if response.status_code == 206 and start != _range_start(response):
                _forget(part, note)
                raise _AgainError("the server sent another part of the file than was asked for")
            resumed = response.status_code == 206
            _write_note(note, url, response)
            with part.open("ab" if resumed else "wb") as stream:
                # what came before a break is written too: blocks of a fixed size would lose the last one
                while block := response.raw.read1(_CHUNK, decode_content=False):
                    stream.write(block)
    except (requests.ConnectionError, requests.Timeout, HTTPError, HTTPException, TimeoutError) as error:
        raise _AgainError(f"the connection broke or stalled ({type(error).__name__})") from None
    except requests.RequestException as error:
        raise InputError(f"{url} cannot be downloaded ({type(error).__name__}); check the address.") from None
    if total is not None and _length(part) != total:
        if _length(part) > total:
            _forget(part, note)
        raise _AgainError(f"the server sent {_length(part)} of {total} bytes")


def _check_answer(url, response):
    if any(step.url.startswith("https:") for step in response.history) and not response.url.startswith("https:"):
        raise InputError(f"{url} is redirected to an address without encryption; it is not followed.")
    code = response.status_code
    if code in _FATAL:
        raise InputError(f"{url}: the server {_FATAL[code]} (HTTP {code}); check the name, or the login it needs.")
    if code in (408, 425, 429) or code >= 500:
        raise _AgainError(f"the server is not ready (HTTP {code})", _retry_after(response))
    if code not in (200, 206, 416):
        raise InputError(f"{url}: the server answered with HTTP {code}, which is no file.")
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if code != 416 and kind in ("text/html", "application/xhtml+xml"):
        raise InputError(
            f"{url}: the server sent a web page instead of the file (a login page, or a message); open the address in "
            "a browser to see what it wants."
        )


def _total(response, start, size):
    """Bytes of the whole file, as the answer says, else as it was asked for, else None."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if response.status_code == 206:
        return int(found[3]) if found and found[3] != "*" else size
    if response.status_code == 416:
        tail = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(tail) if tail.isdigit() else size if size is not None else start
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else size


def _range_start(response):
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return int(found[1]) if found else -1


def _retry_after(response):
    """Seconds that the server asks for, given as such or as a date; at most two minutes."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), 120.0)


def _compare(url, found, size, sha256):
    if size is not None and found.size != size:
        raise InputError(
            f"{url} has {found.size} bytes, {size} were expected; it is not the file that was asked for. If the "
            "archive replaced it, remove its entry from the lock file (or correct the table) and fetch it again."
        )
    if sha256 is not None and found.sha256 != sha256:
        raise InputError(
            f"{url} has the SHA-256 {found.sha256[:16]}..., {sha256[:16]}... was expected; it is not the file that was "
            "asked for. If the archive replaced it, remove its entry from the lock file and fetch it again."
        )


def _length(path):
    return path.stat().st_size if path.is_file() else 0


def _forget(part, note):
    part.unlink(missing_ok=True)
    note.write_text("", encoding="utf-8")  # it stays: it is held against other processes


def _read_note(note, url):
    """Return what is known of the part that is on disk; None if it cannot be continued."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        return known if known["url"] == url and known["validator"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(note, url, response):
    """Keep what tells whether the file on the server is still the same: a strong ETag or the date of its change."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
