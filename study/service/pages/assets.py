"""The pages' own files and Plotly's bundle, under an address that changes with their content and is kept for long."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PLOTLY = "plotly.min.js"
LONG = "private, max-age=31536000, immutable"
router = APIRouter(include_in_schema=False)


@router.get("/static/{digest}/{name}")
def asset(request: Request, digest: str, name: str) -> Response:
    """A file; of another digest too, for a page that was open while the service was renewed."""
    if name not in contents():
        raise HTTPException(404)
    headers = {"cache-control": LONG if digest == version() else "no-cache", "vary": "accept-encoding"}
    content = contents()[name]
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["content-encoding"] = compressed(name), "gzip"
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)


@router.get("/favicon.ico")
def favicon() -> Response:
    """For pages that name no icon, as optuna-dashboard's."""
    return Response(contents()["icon.svg"], media_type=MEDIA_TYPES[".svg"], headers={"cache-control": LONG})


@cache
def contents() -> dict[str, bytes]:
    """Name -> content of every file that is served."""
    import plotly

    own = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
    return own | {PLOTLY: (Path(plotly.__file__).parent / "package_data" / PLOTLY).read_bytes()}


@cache
def compressed(name: str) -> bytes:
    return gzip.compress(contents()[name], compresslevel=6, mtime=0)


@cache
def version() -> str:
    """The digest of all files: modules import one another, so they change their address together."""
    digest = hashlib.blake2b(digest_size=8)
    for name, content in sorted(contents().items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()
