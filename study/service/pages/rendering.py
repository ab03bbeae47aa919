"""Pages from templates, under the policy that pages need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from study.service.pages import assets, show

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= show.FILTERS


def page(
    request: Request, template: str, code: int = 200, *, charts: bool = False, **values: Any
) -> Response:
    """A page. With `charts` its policy allows inline styles: Plotly makes style elements and attributes."""
    from analysis.labels import SYMBOLS

    nonce = request.state.nonce
    html = TEMPLATES.get_template(template).render(
        static=f"/static/{assets.version()}", path=request.url.path, nonce=nonce, symbols=SYMBOLS, **values
    )
    return HTMLResponse(
        html, code, {"content-security-policy": content_security_policy(nonce, inline_styles=charts)}
    )


def content_security_policy(nonce: str, *, inline_styles: bool = False) -> str:
    """The policy of a page: everything from here, styles also inline with the request's nonce.

    `inline_styles` allows style elements and attributes, for pages with libraries that make them.
    """
    styles = "'self' 'unsafe-inline'" if inline_styles else f"'self' 'nonce-{nonce}'"
    return (
        f"default-src 'self'; script-src 'self'; style-src {styles}; img-src 'self' data: blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def wants_page(request: Request) -> bool:
    """Whether an error is best shown as a page: a browser asks for one, and not of the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
