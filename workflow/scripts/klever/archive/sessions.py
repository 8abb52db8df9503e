"""Sessions that send the logins they are given and no other, to the host they are for and no other."""

import requests

__all__ = ["OwnLogins"]


class OwnLogins(requests.Session):
    """A session that does not read ``~/.netrc``, from which requests would take logins of its own accord.

    Proxies and certificates of the environment are used as always.
    """

    def __init__(self):
        super().__init__()
        self.auth = _as_it_is

    def rebuild_auth(self, prepared_request, response):
        """Drop the login of a request that is redirected to another host, and look for no other."""
        headers = prepared_request.headers
        if "Authorization" in headers and self.should_strip_auth(response.request.url, prepared_request.url):
            del headers["Authorization"]


def _as_it_is(request):
    """Add nothing; a session without an authentication opens ``~/.netrc``."""
    return request
