"""Whether there is a cluster at an address, asked before Ray is imported, which takes seconds."""

from __future__ import annotations

import socket


class LaunchError(RuntimeError):
    """The cluster cannot be reached or has no room."""


def check_address(address: str) -> None:
    """Raise LaunchError when nothing listens at `address`: Ray itself would try for more than a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except (OSError, ValueError) as error:
        raise unreachable(address, error) from None


def unreachable(address: str | None, error: Exception) -> LaunchError:
    return LaunchError(
        f"cannot reach a Ray cluster at {address!r} ({str(error).splitlines()[0]}): give HOST:PORT of a running "
        "head node, with RAY_AUTH_MODE=token in the environment if it asks for a token; "
        "or leave --address out to use this machine"
    )
