"""A headless Chromium driven through its debugging pipe by the standard library, and what it asks of the network."""

import base64
import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium():
    """Path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a browser that has nothing but a proxy which records who calls and answers nobody.

    `requests` holds the URLs that pages asked for, other than of files and data, `calls` what reached the proxy.
    """

    def __init__(self, profile, size=(1500, 950)):
        self.requests, self.calls, self._number = [], [], 0
        self._proxy = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._record, daemon=True).start()
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        command = [
            chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
            f"--proxy-server=127.0.0.1:{self._proxy.getsockname()[1]}", "--proxy-bypass-list=<-loopback>",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-default-apps", "--disable-extensions", "about:blank",
        ]  # fmt: skip

        def hand_over():
            # the browser reads commands at 3 and answers at 4
            ends = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            command, preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._session = b"", None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Network.enable")
        self.call("Page.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._proxy.close()
        os.close(self._out)
        os.close(self._in)

    def _record(self):
        while True:
            try:
                connection, _ = self._proxy.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.calls.append(connection.recv(300))
                except OSError:
                    self.calls.append(b"")

    def call(self, method, timeout=60, **parameters):
        """Send one command of the DevTools protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self, end, what):
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser did not answer {what}")
            more = os.read(self._in, 1 << 20)
            if not more:
                raise RuntimeError("the browser ended")
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:", "about:")):
                self.requests.append(url)
        return message

    def evaluate(self, script, context=None):
        """Return the value of a JavaScript expression in the page, or in a context of `inner_page`."""
        where = {} if context is None else {"contextId": context}
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, **where)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']['text']} {found['result'].get('description')}")
        return found["result"].get("value")

    def wait_for(self, script, timeout=30):
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + timeout
        while not (value := self.evaluate(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {script}")
            time.sleep(0.05)
        return value

    def inner_page(self, timeout=30):
        """Return the context of the page that the page's frame shows, for `evaluate`."""
        end = time.monotonic() + timeout
        while True:
            frames = self.call("Page.getFrameTree")["frameTree"].get("childFrames", [])
            if frames:
                context = self.call("Page.createIsolatedWorld", frameId=frames[0]["frame"]["id"])["executionContextId"]
                if self.evaluate("document.readyState === 'complete' && document.body !== null", context):
                    return context
            if time.monotonic() > end:
                raise TimeoutError("the page shows no other page")
            time.sleep(0.05)

    def open(self, path):
        """Open a file."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("document.readyState === 'complete'")

    def screenshot(self, path):
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
