"""A local HTTP server with the layout of the archives, that can be told to stall, truncate, redirect and lie."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

__all__ = ["ArchiveServer", "serve"]


class ArchiveServer:
    """What is served, how it misbehaves, and what was asked.

    Attributes
    ----------
    files : dict of str to bytes
        Content by path.
    faults : dict of str to list
        By path, the fault of each request in turn: an HTTP status, or ``stall``, ``truncate``, ``html``, ``no_range``,
        ``wrong_range``, ``lie_length``, ``changed``; nothing when the list is empty.
    tables : dict of str to bytes
        VOTable by a word that the ADQL query, or the path, holds.
    requests : list of dict
        ``path``, ``range``, ``authorization`` and ``query`` of every request.
    """

    def __init__(self):
        self.files, self.faults, self.tables, self.requests = {}, {}, {}, []
        self.token, self.etag, self.url = None, True, ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive = None

    def log_message(self, *_):
        pass

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self._answer(parse_qs(self.rfile.read(length).decode()))

    def do_GET(self):
        self._answer(parse_qs(urlsplit(self.path).query))

    def _answer(self, query):
        archive, path = self.archive, urlsplit(self.path).path
        record = {"path": path, "range": self.headers.get("Range"), "query": query}
        archive.requests.append(record | {"authorization": self.headers.get("Authorization")})
        if path == "/token":
            return self._token(query)
        text = " ".join(query.get("QUERY", [])) + " " + self.path
        table = next((table for word, table in archive.tables.items() if word in text), None)
        if table is not None:
            return self._send(200, table, {"Content-Type": "application/x-votable+xml"})
        fault = archive.faults[path].pop(0) if archive.faults.get(path) else None
        if isinstance(fault, tuple):
            return self._send(fault[0], b"", {"Retry-After": fault[1]} if fault[0] == 503 else {"Location": fault[1]})
        if isinstance(fault, int):
            return self._send(fault, b"no")
        if path not in archive.files:
            return self._send(404, b"nothing here")
        if archive.token and path.startswith("/private") and self.headers.get("Authorization") != archive.token:
            return self._send(401, b"log in")
        return self._file(path, fault)

    def _token(self, query):
        good = query.get("username") == ["astronomer"] and query.get("password") == ["s3cret"]
        return self._send(200 if good else 401, b'{"id_token": "t0ken"}' if good else b'{"error": "denied"}')

    def _file(self, path, fault):
        content = self.archive.files[path]
        if fault == "html":
            return self._send(200, b"<!DOCTYPE html><html>maintenance</html>", {"Content-Type": "text/html"})
        if fault == "sneaky_html":
            return self._send(200, b"<html>maintenance</html>", {"Content-Type": "application/octet-stream"})
        headers = {"ETag": f'"{hash(content)}"'} if self.archive.etag else {}
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") == headers.get("ETag")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and fresh and fault != "no_range" else 0
        if start >= len(content) > 0:
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        status = 206 if start else 200
        if start:
            first = start + 7 if fault == "wrong_range" else start
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        if fault == "chunked_truncate":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault in ("truncate", "chunked_truncate", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stall":
                time.sleep(1.0)
            self.close_connection = True
            self.connection.close()
            return None
        self.wfile.write(body)
        return None

    def _send(self, status, body, headers=None):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve():
    """Serve an `ArchiveServer` on a free port while the block runs."""
    archive = ArchiveServer()
    handler = type("Handler", (_Handler,), {"archive": archive})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None
    archive.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
