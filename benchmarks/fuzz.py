"""Whether any input makes the program fail otherwise than in its own words: study files, filters, imports, HTTP.

Made-up inputs (hypothesis), of each kind as many as `--examples` says: valid ones that were changed in a few places,
and ones from nothing. What may come of one is an answer, or one of the project's own errors of one line, over HTTP an
answer below 500. No other exception, no change of the database (its content is compared by a checksum), and no more
memory than 200 MB above what it had when a kind began. The first failure of a kind ends it, made as small as it
can be.

    python benchmarks/fuzz.py --examples 2500
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from search_spaces import SearchSpace
from storage.records import Trials
from storage.store import Store, open_store
from study.errors import is_ours
from study.shown.console import show_table

MOST_MEMORY = 200.0
"""MB above what the process has had before."""
TOKEN = "a-token-for-the-benchmark"
SPACE = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0], "size": {"ordered": ["small", "large"]}})
STUDY = b"""name = "fuzzed"
workload = { name = "digits-mlp", steps = 100 }
optimizers = ["adam", { name = "avagrad", betas = [0.9, 0.99] }]
seeds = 2
tuning = { trials = 20, replicates = 10, target = 0.01 }

[space]
alpha = { low = 1e-4, high = 100, num = 7, scale = "log" }
eps = [1e-8, 1e-4, 1]
"""
FILTERS = (
    "alpha < 0.1 and seed in (0, 1)",
    "not (size = small or optimizer != 'adam') and diverged_at is null",
    "loss between 1e-3 and 2 or seconds not in (1, 2.5)",
)
TABLE = b"alpha,eps,loss,seed\n0.1,1e-8,0.5,0\n0.2,1e-8,0.25,0\n0.1,1e-4,,1\n0.2,1e-4,0.75,1\n"
TOKENS = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"9" * 4_400,
        b"9" * 400,
        b"1e999",
        b"-",
        b"nan",
        b"inf",
        b"[" * 200,
    ),
    *(
        b"{" * 200,
        b"a." * 100,
        b'"""',
        b"'",
        b"\n",
        b"#",
        b"=",
        b",",
        b"true",
        b"1979-05-27T07:32:00Z",
        b"0x" + b"f" * 99,
    ),
    *("\u202e".encode(), "é".encode(), b"../", b"%00", b"seed", b"alpha", b"and", b"(", b")", b"in", b"null"),
]
PATHS = (
    "/api/v1/studies",
    "/api/v1/studies/{}",
    "/api/v1/studies/{}/trials",
    "/api/v1/studies/{}/landscape",
    "/api/v1/studies/{}/separability",
    "/api/v1/studies/{}/cost",
    "/api/v1/studies/{}/failures",
    "/api/v1/studies/{}/optimizers/adam/trials/1",
    "/studies/{}",
    "/optuna/static/{}",
)
KEYS = ("where", "cursor", "sort", "order", "limit", "optimizer", "at", "axes", "format", "target", "noise")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=2_500, help="of each of the four kinds")
    parser.add_argument("--only", choices=["study files", "filters", "imports", "HTTP"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "fuzz.db"
        with open_store(f"sqlite:///{path}", create=True) as store:
            fill(store)
        for what, make in KINDS.items():
            if options.only not in (None, what):
                continue
            check = make(folder, path)
            for each in VALID[what]:  # what they import is not theirs
                check(each)
            began, peak, before = time.perf_counter(), memory(), checksum(path)
            seen, problem = fuzz(check, INPUTS[what], options.examples)
            if checksum(path) != before:
                problem = problem or "it wrote to the database"
            more = memory() - peak
            if more > MOST_MEMORY:
                problem = problem or f"it took {more:,.0f} MB"
            failed = failed or problem is not None
            seconds = time.perf_counter() - began
            rows.append((what, f"{seen:,}", f"{seconds:,.0f}", f"{more:+,.0f}", problem or "nothing"))
    show_table(("inputs", "examples", "seconds", "MB more", "what failed"), rows)
    sys.exit(failed)


def fuzz(
    check: Callable[[Any], None], inputs: st.SearchStrategy[Any], examples: int
) -> tuple[int, str | None]:
    """How many inputs were tried, and what failed."""
    seen = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(inputs)
    def try_one(found: Any) -> None:
        nonlocal seen
        seen += 1
        check(found)

    try:
        try_one()
    except Exception as error:  # noqa: BLE001 - any exception is what is looked for
        notes = " ".join(getattr(error, "__notes__", ()))
        return seen, f"{type(error).__name__}: {str(error)[:200]} {notes[:500]}"
    return seen, None


def allowed(call: Callable[[], object]) -> None:
    """Raises what is none of the project's errors, and these when they have more than one line."""
    try:
        call()
    except Exception as error:
        if not is_ours(error):
            raise
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error!r}") from error


def study_files(folder: Path, _database: Path) -> Callable[[Any], None]:
    from study.spec import load_spec

    path = folder / "study.toml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        allowed(lambda: load_spec(path))

    return check


def filters(_folder: Path, database: Path) -> Callable[[Any], None]:
    store = open_store(f"sqlite:///{database}", create=False)

    def check(content: bytes) -> None:
        where = content.decode("utf-8", "surrogateescape")
        allowed(lambda: store.trials("fuzzed", where=where))
        allowed(lambda: store.page("fuzzed", where=where))

    return check


def imports(folder: Path, _database: Path) -> Callable[[Any], None]:
    from storage.foreign_table import read_table

    path = folder / "table.csv"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        allowed(lambda: read_table(path, ("alpha", "eps"), "loss", seed="seed", maximize=False))

    return check


def http(_folder: Path, database: Path) -> Callable[[Any], None]:
    from fastapi.testclient import TestClient

    from study.service.app import create_app
    from study.service.settings import Settings

    app = create_app(Settings(f"sqlite:///{database}", token=TOKEN))
    client = TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=True)
    client.headers["authorization"] = f"Bearer {TOKEN}"

    def check(asked: tuple[str, str, dict[str, str], bytes, str]) -> None:
        path, name, query, body, media = asked
        from urllib.parse import quote

        address = path.format(quote(name, safe=""))
        answer = client.get(address, params=query)
        assert answer.status_code < 500, (address, query, answer.status_code, answer.text[:200])
        answer = client.post("/api/v1/plan", content=body, headers={"content-type": media})
        assert answer.status_code < 500, (body, answer.status_code, answer.text[:200])

    return check


@st.composite
def changed(draw: st.DrawFn, valid: tuple[bytes, ...]) -> bytes:
    """A valid input with a few pieces cut out, doubled, or replaced."""
    content = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=6) | st.just(content[start:stop] * 2))
        content = content[:start] + piece + content[stop:]
    return content


def inputs_like(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Half of them valid ones that were changed, half made up of pieces."""
    made_up = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=12).map(b" ".join)
    return changed(valid) | made_up


TEXTS = st.sampled_from(
    ["fuzzed", "adam", "\0", "é", "nothing", "alpha", "1", "-1", "9" * 30, "nan", "csv"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = json.dumps(
    {"name": "fuzzed", "workload": "digits-mlp", "optimizers": ["adam"], "space": {"alpha": [1]}, "seeds": 1}
)
INPUTS: dict[str, st.SearchStrategy[Any]] = {
    "study files": inputs_like(STUDY),
    "filters": inputs_like(*(each.encode() for each in FILTERS)),
    "imports": inputs_like(TABLE),
    "HTTP": st.tuples(
        st.sampled_from(PATHS),
        TEXTS,
        st.dictionaries(st.sampled_from(KEYS), TEXTS | st.sampled_from(FILTERS), max_size=3),
        inputs_like(STUDY, JSON.encode()),
        st.sampled_from(["application/toml", "application/json"]),
    ),
}
VALID: dict[str, list[Any]] = {
    "study files": [STUDY],
    "filters": [each.encode() for each in FILTERS],
    "imports": [TABLE],
    "HTTP": [
        (path, "fuzzed", {}, body, media)
        for path in PATHS
        for body, media in ((STUDY, "application/toml"), (JSON.encode(), "application/json"))
    ],
}
KINDS: dict[str, Callable[[Path, Path], Callable[[Any], None]]] = {
    "study files": study_files,
    "filters": filters,
    "imports": imports,
    "HTTP": http,
}


def fill(store: Store) -> None:
    """A small study, some trials of it diverged."""
    spec = {"name": "fuzzed", "seeds": 2, "space": SPACE.to_table()}
    store.declare("fuzzed", {"adam": {}, "sgd": {}}, space=SPACE, metric="loss", spec=spec, provenance={})
    cells, now = SPACE.cells(), datetime.now(UTC)
    for optimizer in ("adam", "sgd"):
        for seed in range(2):
            loss = np.linspace(0.1, 1, len(cells)) + seed
            diverged = np.where(loss > 1.5, 3, -1)
            columns = dict(zip(SPACE.names, cells.T, strict=True))
            steps, curve = np.array([1, 2]), np.stack([loss, loss], axis=1)
            trials = Trials(columns, seed, loss, {"error": loss / 2}, steps, curve, diverged, loss, now, now)
            store.append("fuzzed", optimizer, trials)


def checksum(path: Path) -> str:
    """Of all that a database holds."""
    digest = hashlib.sha256()
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
        for line in file.iterdump():
            digest.update(line.encode())
    return digest.hexdigest()


def memory() -> float:
    """The most that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    main()
