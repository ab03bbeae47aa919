"""Commands that read the trial database."""

import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from storage.store import open_store

Cli = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
WriteStudy = Callable[..., Path]
ALPHA, EPS = [0.01, 0.1, 1.0], [1e-8, 1e-4]


def other_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    connection.close()


def later_schema(path: Path) -> None:
    open_store(f"sqlite:///{path}", create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    connection.close()


def test_studies(cli: Cli, url: str) -> None:
    code, out, _ = cli("studies", "--storage", url)
    assert code == 0
    adam = next(line.split() for line in out.splitlines() if " adam " in line)
    assert adam[:6] == ["made-up", "adam", "error", "12", "1", "0.1"]
    assert "failed" not in out


def test_failures(cli: Cli, url: str) -> None:
    code, out, err = cli("failures", "made-up", "--storage", url)
    assert (code, out, err) == (0, "", "no trial of made-up failed\n")
    with open_store(url, create=True) as store:
        cells = [f"alpha={alpha!r},eps=1e-08" for alpha in ALPHA]
        store.append_failures("made-up", "adam", cells, 2, "ValueError: [/no] x", "Traceback\n[red]no")
        store.append_failures("made-up", "avagrad", cells[:1], 2, "the worker died")
    _, out, _ = cli("studies", "--storage", url)
    header, adam, avagrad = (line.split() for line in out.splitlines())
    assert (header[-1], adam[-1], avagrad[-1]) == ("failed", "3", "1")
    code, out, _ = cli("failures", "made-up", "--storage", url)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.split()[:1] in (["adam"], ["avagrad"])]
    assert [row[0] for row in rows] == ["avagrad", "adam", "adam", "adam"]
    assert rows[1][1:4] == [f"{ALPHA[0]:g}", "1e-08", "2"]
    assert rows[1][-3:] == ["ValueError:", "[/no]", "x"]
    assert out.endswith("3 of them: ValueError: [/no] x\n  | Traceback\n  | [red]no\n")
    _, out, _ = cli("failures", "made-up/adam", "--format", "json", "--storage", url)
    found = json.loads(out)
    assert [row["alpha"] for row in found] == ALPHA
    assert (found[0]["lines"], found[0]["launch"], found[0]["seed"]) == ("Traceback\n[red]no", None, 2)
    _, out, _ = cli("failures", "made-up", "--format", "csv", "--storage", url)
    assert out.splitlines()[0] == "optimizer,alpha,eps,seed,failed_at,launch,reason,lines"
    with open_store(url, create=True) as store:
        for number, cell in enumerate(cells):
            store.append_failures(
                "made-up", "adam", [cell], 3, f"exit code 1 (its folder is /tmp/x-{number})", "no"
            )
    _, out, _ = cli("failures", "made-up", "--storage", url)
    assert "(its folder is /tmp/x-2)" in out
    assert "\n3 of them: exit code 1\n  | no\n" in out
    code, _, err = cli("failures", "made", "--storage", url)
    assert (code, len(err.splitlines())) == (2, 1)


def test_trials_as_json_and_filter(cli: Cli, url: str) -> None:
    _, out, _ = cli(
        "trials", "made-up/adam", "--where", "alpha < 1 and seed = 0", "--format", "json", "--storage", url
    )
    rows = json.loads(out)
    assert [(row["alpha"], row["eps"]) for row in rows] == [(a, e) for a in ALPHA[:2] for e in EPS]
    assert {row["optimizer"] for row in rows} == {"adam"}
    assert rows[0]["loss"] == 2 * rows[0]["error"]
    _, out, _ = cli(
        "trials", "made-up", "--where", "diverged_at is not null", "--format", "json", "--storage", url
    )
    assert [(row["alpha"], row["seed"], row["diverged_at"]) for row in json.loads(out)] == [(1.0, 1, 7)]


@pytest.mark.parametrize(
    ("format", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet), ("json", pd.read_json)]
)
def test_trials_to_a_file(
    cli: Cli, url: str, tmp_path: Path, format: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    path = tmp_path / f"trials.{format}"  # its name says how they are written
    code, out, _ = cli("trials", "made-up", "-o", path, "--storage", url)
    assert (code, out) == (0, f"wrote {path}\n")
    again = tmp_path / f"again.{format}"
    code, out, _ = cli("trials", "made-up", "--sort", "error", "-o", again, "--storage", url)
    assert (code, out, len(read(again))) == (0, f"wrote {again}\n", 24)
    assert len(read(path)) == 24
    assert read(path)["error"].min() == 0.1


@pytest.mark.parametrize("further", [(), ("--sort", "seed")])
def test_a_filter_that_nothing_passes_says_so(cli: Cli, url: str, further: tuple[str, ...]) -> None:
    code, out, err = cli(
        "trials", "made-up", "--where", "alpha > 9", "--format", "csv", *further, "--storage", url
    )
    assert (code, len(out.splitlines()), err) == (0, 1, "no trial of made-up matches alpha > 9\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_sqlite, "not an Optuna database"),
        (lambda path: path.write_text("hello"), "is not an SQLite file"),
        (later_schema, "v9.9.9"),
    ],
)
@pytest.mark.parametrize("command", ["run", "trials"])
def test_wrong_databases(
    refused: Refused,
    write_study: WriteStudy,
    tmp_path: Path,
    make: Callable[[Path], None],
    message: str,
    command: str,
) -> None:
    make(tmp_path / "t.db")
    target = write_study() if command == "run" else "small"
    assert message in refused(tmp_path, command, target, "--storage", f"sqlite:///{tmp_path}/t.db")


def test_other_wrong_inputs(refused: Refused, url: str, write_study: WriteStudy, tmp_path: Path) -> None:
    spec, storage = write_study(), ("--storage", url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    new = ("--storage", f"sqlite:///{tmp_path}/new.db")
    assert f"cannot reach a Ray cluster at '{address}'" in refused(
        tmp_path, "run", spec, "--address", address, *new
    )
    assert "cannot reach" in refused(tmp_path, "run", spec, "--address", "nonsense", *new)
    assert "cannot be read" in refused(tmp_path, "run", tmp_path / "no.toml", *new)
    assert "does not exist" in refused(tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/no/t.db")
    assert "there is no such file" in refused(tmp_path, "studies", *new)
    assert "did you mean 'made-up'?" in refused(tmp_path, "trials", "mode-up", *storage)
    assert "did you mean 'adam'?" in refused(tmp_path, "trials", "made-up/adma", *storage)
    assert "alhpa" in refused(tmp_path, "trials", "made-up", "--where", "alhpa < 1", *storage)
    missing = tmp_path / "no" / "f.png"
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert "does not exist" in refused(tmp_path, "plot", "landscape", "made-up", "-o", missing, *storage)
    assert "is a folder" in refused(folder.parent, "plot", "landscape", "made-up", "-o", folder, *storage)
    assert "end its name with" in refused(tmp_path, "plot", "landscape", "made-up", "-o", "f.jpg", *storage)
    table = missing.with_suffix(".csv")
    assert "folder that exists" in refused(tmp_path, "trials", "made-up", "-o", table, *storage)
    assert "end it in .csv" in refused(tmp_path, "trials", "made-up", "-o", missing, *storage)
