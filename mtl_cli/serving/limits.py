"""What a request may take, of bytes, rows and time; and the errors of HTTP that say so."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_cli.config.errors import Problem, UserError


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Parameters
    ----------
    body : int
        Bytes of one request's body.
    rows : int
        Rows of one request.
    seconds : float
        From a request's first byte to its answer.
    queue : int
        Requests that may wait for the model; one more is answered 429.
    batch : int
        Waiting requests that are predicted at once.
    batch_wait : float
        Seconds that a request may wait for others to be predicted with it.
    stopping : float
        Seconds that requests in hand are given when the server stops.
    """

    body: int = 10 * 2**20
    rows: int = 10_000
    seconds: float = 30.0
    queue: int = 1024
    batch: int = 256
    batch_wait: float = 0.002
    stopping: float = 20.0

    @property
    def bodies(self) -> int:
        """Bytes of all requests' bodies that are held at once."""
        return 16 * self.body


class HTTPError(Exception):
    """A request that is not answered with rows.

    Parameters
    ----------
    status : int
        Of HTTP.
    problems : sequence of Problem
    headers : dict of str to str, optional
    """

    def __init__(self, status: int, *problems: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, *problems)
        self.status, self.problems, self.headers = status, problems, headers or {}

    @classmethod
    def of(cls, error: UserError, status: int = 422) -> HTTPError:
        """Make one of what is wrong with the user's rows."""
        return cls(status, *error.problems)

    def content(self) -> dict[str, list[dict[str, str]]]:
        """Return the answer."""
        named = [{"where": p.where, "what": p.what, "hint": p.hint} for p in self.problems]
        return {"errors": [{key: " ".join(text.split()) for key, text in one.items() if text} for one in named]}


def refused(status: int, where: str, what: str, hint: str | None = None, **headers: str) -> HTTPError:
    """Return an error of one problem; headers are given as ``retry_after``."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return HTTPError(status, Problem(where, what, hint), headers=named)
