"""Who may ask a server: a token, compared in constant time; and from which pages a browser may."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path
from mtl_cli.serving.limits import refused

VARIABLE = "MTL_SERVE_TOKEN"
SHORTEST = 16
"""Characters of a token."""
ASKS = 'Basic realm="mtl serve, any name, the token as password", charset="UTF-8"'
"""What makes a browser ask for the token."""


def find_token(file: str | None) -> str | None:
    """Return the token of a file, or of the environment; None if there is none.

    Raises
    ------
    UserError
        If it cannot be read, or is short enough to be guessed.
    """
    where, token = (VARIABLE, os.environ.get(VARIABLE)) if file is None else (file, None)
    if file is not None:
        try:
            token = user_path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(file, f"no token can be read: {getattr(error, 'strerror', None) or error}") from error
    if token is None:
        return None
    token = token.strip()
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        hint = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        raise UserError(where, f"a token has at least {SHORTEST} letters and figures, and no space", hint)
    return token


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, token: str | None) -> None:
    """Raise UserError if others could reach a server without a token."""
    if token is None and not is_loopback(host):
        hint = f"set {VARIABLE}, or give --token-file FILE"
        raise UserError("--host", f"{host} can be reached from other machines, which needs a token", hint)


class Access:
    """Tells whose requests are answered.

    Parameters
    ----------
    token : str, optional
    """

    def __init__(self, token: str | None) -> None:
        self.token = token

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise HTTPError unless a request has the token; without one, unless it is sent to this machine by name.

        A page of another site could give its own name this machine's address, and read the answers.
        """
        if self.token is not None:
            self.check_token(headers)
        elif not is_loopback(_host(headers.get("host", ""))):
            what = "is not this machine's own name, and the server has no token"
            raise refused(421, "the Host header", what, "ask 127.0.0.1 or localhost")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Raise HTTPError unless a request has the token, as ``Bearer`` or as the password of ``Basic``."""
        if self.token is None:
            raise refused(403, "token", "the server has none, so that nobody may do this", f"start it with {VARIABLE}")
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        elif kind.lower() != "bearer":
            given = ""
        if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode()):
            raise refused(401, "token", "is missing or wrong", "Authorization: Bearer TOKEN", www_authenticate=ASKS)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raise HTTPError if a browser sends this for a page of another site."""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise refused(403, "the Origin header", "is of another site")


def _host(header: str) -> str:
    """Return the name in a Host header, without the port."""
    name = urlsplit(f"//{header}").hostname
    return name or ""
