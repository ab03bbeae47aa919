"""Who may ask: every request needs the token, a known Host, and for changes an Origin of here."""

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from study.service.app import Service, create_app
from study.service.server import HideToken
from study.service.settings import ServiceError, Settings, check_settings, without_password

PATHS = [
    "/",
    "/docs",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/nothing",
    "/api/v1/studies",
    "/api/v1/events",
]


@pytest.fixture
def stranger(app: Service) -> TestClient:
    return TestClient(app, "http://127.0.0.1:8000", follow_redirects=False)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic YTph"},
        {"cookie": "tunability-8000=wrong"},
        {"cookie": '=";'},
    ],
)
def test_nothing_without_the_token(stranger: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = stranger.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stranger.post(path, headers=headers).status_code == 401


def test_the_url_becomes_a_cookie(stranger: TestClient, settings: Settings) -> None:
    answer = stranger.get(f"/docs?a=1&token={settings.token}&b=%2F")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/docs?a=1&b=%2F"
    cookie = answer.headers["set-cookie"]
    assert settings.token not in cookie
    for wanted in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert wanted in cookie
    assert stranger.get("/docs").status_code == 200  # the client keeps cookies
    assert stranger.get("/docs?token=wrong").status_code == 401
    evil = "http://127.0.0.1:8000//evil.example/"  # a client would take a path alone for a host
    assert stranger.get(f"{evil}?token={settings.token}").headers["location"] == "/evil.example/"
    asked = TestClient(stranger.app, "http://127.0.0.1:8000").get(evil, headers={"accept": "text/html"})
    assert 'action="/evil.example/"' in asked.text


def test_a_browser_is_asked_for_the_token(stranger: TestClient, settings: Settings) -> None:
    browser = {"accept": "text/html"}
    asked = stranger.get("/trials?study=a%22b&limit=50", headers=browser)
    assert (asked.status_code, asked.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert 'action="/trials"' in asked.text
    assert '<input type="hidden" name="study" value="a&#34;b">' in asked.text
    again = stranger.get("/trials?study=a&token=wrong", headers=browser)
    assert again.status_code == 401
    assert "That token is wrong" in again.text
    assert "set-cookie" not in again.headers
    assert "wrong&" not in again.text
    assert 'value="wrong"' not in again.text
    let_in = stranger.get("/trials", params={"study": "a", "token": settings.token}, headers=browser)
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/trials?study=a")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:9", True),
        ("[::1]:8000", True),
        ("LOCALHOST", True),
        ("192.168.0.7:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("evil.example:127.0.0.1", False),
        ("[", False),
        ("", False),
    ],
)
def test_names_that_the_service_is_called_by(client: TestClient, host: str, known: bool) -> None:
    answer = client.get("/api/v1/studies", headers={"host": host})
    assert answer.status_code == (200 if known else 400)
    assert known or "is not called" in answer.json()["detail"]


def test_another_name(url: str) -> None:
    settings = Settings(url, token="t" * 16, hosts=("lab.example",))
    client = TestClient(create_app(settings), "http://lab.example")
    assert (
        client.get("/openapi.json", headers={"authorization": f"Bearer {settings.token}"}).status_code == 200
    )


def test_changes_come_from_here(stranger: TestClient, client: TestClient, settings: Settings) -> None:
    stranger.get(f"/docs?token={settings.token}")

    def post(by: TestClient, **headers: str) -> int:
        return by.post(
            "/openapi.json", headers={k.replace("_", "-"): v for k, v in headers.items()}
        ).status_code

    passed = 405  # it came as far as the routes
    assert post(stranger) == 403
    assert post(stranger, sec_fetch_site="same-origin") == passed
    assert post(stranger, origin="http://127.0.0.1:8000") == passed
    for origin in ("http://evil.example", "http://127.0.0.1:8001", "null", ""):
        assert post(stranger, origin=origin) == 403
        assert post(client, origin=origin) == 403
    for origin in ("http://[", "http://127.0.0.1:99999999"):
        assert post(client, origin=origin) == 403
    assert post(client) == passed


def test_changes_come_through_a_proxy_of_another_name(url: str) -> None:
    settings = Settings(url, token="t" * 16, hosts=("lab.example",))
    client = TestClient(create_app(settings), "http://127.0.0.1:8000")
    headers = {"authorization": f"Bearer {settings.token}"}
    assert (
        client.post("/openapi.json", headers=headers | {"origin": "https://lab.example"}).status_code == 405
    )
    refused = client.post("/openapi.json", headers=headers | {"origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "--allow-host NAME" in refused.json()["detail"]


def test_large_requests_are_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/plan", content=b" " * 1_000_001)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "the request has more than 1,000,000 bytes: send a smaller one"
    in_pieces = (b" " * 1_000 for _ in range(1_001))  # which do not say how many they will be
    again = client.post("/api/v1/plan", content=in_pieces)
    assert again.status_code == 413
    assert again.json() == answer.json()


def test_headers_are_on_every_answer(client: TestClient, stranger: TestClient) -> None:
    for answer in (client.get("/docs"), client.get("/nothing"), stranger.get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
    policies = [client.get("/docs").headers["content-security-policy"] for _ in range(2)]
    assert policies[0] != policies[1]  # a nonce is used once


@pytest.mark.parametrize(
    ("path", "charts"),
    [("/", False), ("/new", False), ("/trials", False), ("/studies/small", True), ("/compare", True)],
)
def test_only_pages_with_charts_have_inline_styles(client: TestClient, path: str, charts: bool) -> None:
    policy = client.get(path).headers["content-security-policy"]
    assert ("'unsafe-inline'" in policy) == charts
    assert "script-src 'self';" in policy


def test_a_failure_reveals_nothing(app: Service, client: TestClient) -> None:
    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError("a secret")

    answer = client.get("/fails")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the service failed to answer: its log says why"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_docs_need_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script>" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png", "start.js"):
        assert client.get(f"/docs/{name}").status_code == 200, name


def test_settings_that_let_strangers_in_are_refused() -> None:
    check_settings("127.0.0.1", None)
    check_settings("::1", None)
    check_settings("0.0.0.0", "a-long-enough-token")
    for host in ("0.0.0.0", "192.168.0.7", "::", "lab.example"):
        with pytest.raises(ServiceError, match="lets other machines in"):
            check_settings(host, None)
    check_settings("127.0.0.1", "t" * 16)
    for token in ("", "short", "t" * 15, "with spaces in the middle", "é" * 20):
        with pytest.raises(ServiceError, match="token is not allowed"):
            check_settings("127.0.0.1", token)


def test_the_access_log_hides_tokens() -> None:
    record = logging.LogRecord(
        "uvicorn.access", 20, "", 0, '%s - "%s %s"', ("1.2.3.4", "GET", "/?a=1&token=abc&b=2"), None
    )
    assert HideToken().filter(record)
    assert record.getMessage() == '1.2.3.4 - "GET /?a=1&token=***&b=2"'


def test_a_settings_text_hides_secrets(tmp_path: Path) -> None:
    assert "secret" not in repr(Settings(f"postgresql://u:secret@{tmp_path}", token="secret-token-of-16"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("lab.example", "http://lab.example:80/"),
    ],
)
def test_where_a_browser_finds_it(host: str, url: str) -> None:
    assert Settings("sqlite:///", host=host, port=80).url == url


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql+psycopg://u:p%40ss@h/d", "postgresql+psycopg://u@h/d", "p@ss"),
        (
            "postgresql+psycopg://u@h/d?password=p&sslmode=require",
            "postgresql+psycopg://u@h/d?sslmode=require",
            "p",
        ),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db", None),
    ],
)
def test_passwords_are_taken_out_of_urls(url: str, bare: str, password: str | None) -> None:
    assert without_password(url) == (bare, password)
