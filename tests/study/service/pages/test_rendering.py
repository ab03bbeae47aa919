"""Which requests are answered with a page, and what a page may load."""

import pytest
from fastapi import Request

from study.service.pages.rendering import TEMPLATES, content_security_policy, wants_page


@pytest.mark.parametrize(
    ("path", "accept", "page"),
    [
        ("/studies/digits", b"text/html,application/xhtml+xml", True),
        ("/studies/digits", b"application/json", False),
        ("/api/studies", b"text/html", False),
        ("/studies/digits", None, False),
    ],
)
def test_errors_are_pages_for_browsers_and_not_of_the_api(
    path: str, accept: bytes | None, page: bool
) -> None:
    headers = [] if accept is None else [(b"accept", accept)]
    request = Request(
        {"type": "http", "path": path, "headers": headers, "server": ("here", 80), "scheme": "http"}
    )
    assert wants_page(request) is page


def test_a_policy_never_allows_foreign_or_inline_scripts() -> None:
    for charts in (False, True):
        policy = dict(
            part.split(" ", 1) for part in content_security_policy("n1", inline_styles=charts).split("; ")
        )
        assert policy["default-src"] == policy["script-src"] == "'self'"
        assert policy["style-src"] == ("'self' 'unsafe-inline'" if charts else "'self' 'nonce-n1'")
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'"


def test_what_a_template_is_given_is_escaped() -> None:
    assert TEMPLATES.from_string("{{ name }}").render(name="<script>") == "&lt;script&gt;"
    assert TEMPLATES.from_string("{{ 0.0213 | metric('error') }}").render() == "2.13%"
