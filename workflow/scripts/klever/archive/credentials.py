"""Logins of archives: from the environment or the system's keyring, never from a file of the survey, never logged."""

import logging
import os

import requests

from klever.archive.sessions import OwnLogins
from klever.errors import InputError

__all__ = ["eso_headers"]

_TIMEOUT = 60.0


def eso_headers(token_url):
    """Return the headers of a request to the ESO archive: with a token if a login is known, none for public data.

    The user name is ``ESO_USERNAME``; the password ``ESO_PASSWORD``, or what the keyring holds for the service
    ``astroquery:www.eso.org``, where astroquery keeps it too.

    Parameters
    ----------
    token_url : str
        ESO's service of tokens; the request has the form of ESO's page on programmatic access.

    Raises
    ------
    InputError
        There is a user name without a password, or the login is refused. No message holds either.
    """
    user = os.environ.get("ESO_USERNAME")
    if not user:
        return {}
    password = os.environ.get("ESO_PASSWORD") or _from_keyring(user)
    if not password:
        raise InputError(
            "ESO_USERNAME is set, but there is no password: set ESO_PASSWORD, or store it with "
            "`keyring set astroquery:www.eso.org <user name>`."
        )
    query = {
        "response_type": "id_token token", "grant_type": "password", "client_id": "clientid",
        "client_secret": "clientSecret", "username": user, "password": password,
    }  # fmt: skip
    # at level DEBUG it would log the address with the password in it
    talkative = logging.getLogger("urllib3.connectionpool")
    talkative.addFilter(_nothing)
    try:
        with OwnLogins() as session:
            answer = session.get(token_url, params=query, timeout=_TIMEOUT)
        token = answer.json()["id_token"] if answer.status_code == 200 else None
    except (requests.RequestException, ValueError, KeyError):
        # the exception holds the address with the password in it
        raise InputError("The login at the ESO archive failed: its service of tokens did not answer.") from None
    finally:
        talkative.removeFilter(_nothing)
    if not token:
        raise InputError(
            f"The ESO archive refuses the login (HTTP {answer.status_code}); check ESO_USERNAME and its password."
        )
    return {"Authorization": f"Bearer {token}"}


def _nothing(_record):
    return False


def _from_keyring(user):
    try:
        import keyring

        return keyring.get_password("astroquery:www.eso.org", user)
    except Exception:  # a machine without a keyring raises one of many kinds
        return None
