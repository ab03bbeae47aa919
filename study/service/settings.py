"""What a service is started with."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


class ServiceError(ValueError):
    """The service cannot be started, or not do what was asked, like that; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What a service is started with.

    Attributes:
        storage: URL of the trial database, maybe with a password.
        address: Jobs address of a running Ray cluster, ``http://HOST:8265``; None for one of its own on this machine.
        host, port: where it listens.
        token: what a client has to know.
        hosts: names, beside this machine's own, that a client may call it by.
        allow_imports: whether specs may name import paths, which run code of the client's choice.
        slots: studies that run at once on the service's own cluster; others are queued.
        max_active: most studies queued or running.
        max_trials: most trials of a study.
        max_body: most bytes of a request.
    """

    storage: str = field(repr=False)
    address: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    hosts: tuple[str, ...] = ()
    allow_imports: bool = False
    slots: int = 1
    max_active: int = 20
    max_trials: int = 200_000
    max_body: int = 1_000_000

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = self.host if not is_any(self.host) else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address. Names other than localhost count as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    """Whether it stands for every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def check_settings(host: str, token: str | None, address: str | None = None) -> None:
    """Raise ServiceError when others could reach a service whose token nobody chose, or an option is not allowed."""
    if token is None and not is_loopback(host):
        raise ServiceError(
            f"--host {host} lets other machines in: choose a token for them, in TUNABILITY_TOKEN or with --token"
        )
    if token is not None and (
        len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ServiceError("the token is not allowed: give 16 or more printable characters without spaces")
    parts = urlsplit(address or "http://localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.path.strip("/"):
        raise ServiceError(
            f"--address {address} is not allowed: give a cluster's Jobs API, such as http://HOST:8265"
        )


def without_password(storage: str) -> tuple[str, str | None]:
    """The URL of a database without its password, and the password; what is no URL is for the store to refuse.

    Raises ServiceError when it has another secret, which jobs could not get unseen.
    """
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage, None
    for key in url.query:
        if "password" in key.lower() and key != "password":
            raise ServiceError(
                f"--storage has {key}, which everybody on a job's machine could see: put it into ~/.pg_service.conf"
            )
    password = url.password
    queried = url.query.get("password")
    if queried is not None:
        password = queried if isinstance(queried, str) else queried[-1]
    bare = url.difference_update_query(["password"])._replace(password=None)
    return bare.render_as_string(hide_password=False), None if password is None else str(password)
