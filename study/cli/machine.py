"""Commands about the program itself: what it knows, whether it can run here, and its service."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import (
    FAILED,
    Catalog,
    Storage,
)
from study.shown.console import DEFAULT_STORAGE, note, show_table


def list_catalog(
    what: Annotated[Catalog, typer.Argument(metavar="WHAT", help="What to list.")],
    time: Annotated[
        bool,
        typer.Option(
            "--time",
            help="Of workloads: also by which method this machine would train 100 trials of Adam, and how long one "
            "takes on a core. Takes minutes.",
        ),
    ] = False,
) -> None:
    """List what a study file can name, and the studies that come with the program."""
    from study import catalog

    if time and what != "workloads":
        raise typer.BadParameter("only workloads are timed", param_hint="--time")

    if time:
        note("timing each workload takes some seconds, large ones a minute")
    rows: dict[str, Callable[[], catalog.Table]] = {
        "optimizers": catalog.optimizers,
        "tuners": catalog.tuners,
        "workloads": functools.partial(catalog.workloads, timed=time),
        "spaces": catalog.spaces,
        "studies": catalog.studies,
    }
    show_table(*rows[what]())


def example(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `tunability list studies`.")],
) -> None:
    """Write a study that comes with the program, and the code that it runs, into the folder `studies` here."""
    from study.examples import write_example

    written = write_example(name, Path())
    for path in written:
        print(f"wrote {path}")
    note(f"next: tunability run {written[0]}")


def doctor(
    storage: Storage = DEFAULT_STORAGE,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be in the database; else nothing is written.")
    ] = False,
) -> None:
    """Tell whether this machine and the database are fit for studies, and what is wrong with them."""
    from rich.markup import escape

    from study.doctor import diagnose_machine, diagnose_storage

    found = [*diagnose_machine(), *diagnose_storage(storage, repair=repair)]
    show_table(("check", "state", "found"), [(each.check, each.state, escape(each.detail)) for each in found])
    broken = [each for each in found if each.state == "broken"]
    if any(each.repairable for each in broken):
        note("--repair puts right what is wrong in the database")
    if broken:
        raise typer.Exit(FAILED)


def serve(
    storage: Storage = DEFAULT_STORAGE,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Jobs API of a running Ray cluster, http://HOST:8265, instead of one of its own here.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="TUNABILITY_TOKEN",
            metavar="TEXT",
            show_envvar=True,
            help="What clients have to know; made up and printed by default. Others can see command lines: "
            "better in the environment.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that clients may call it by.")
    ] = None,
    allow_imports: Annotated[
        bool, typer.Option("--allow-imports", help="Let specs name import paths: clients may run any code.")
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=100, help="Studies that run at once on its own cluster; others wait.")
    ] = 1,
    stop_cluster: Annotated[
        bool,
        typer.Option("--stop-cluster", help="Stop what an earlier service left running, and serve nothing."),
    ] = False,
) -> None:
    """Launch, watch, query and plot studies over HTTP. Studies that run go on when it is stopped."""
    from study.service import server
    from study.service.settings import check_settings

    if stop_cluster:
        print("stopped" if server.stop_cluster(storage) else "nothing was running")
        return
    check_settings(host, token, address)
    server.serve(
        storage,
        address=address,
        slots=at_once,
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        allow_imports=allow_imports,
        **({"token": token} if token is not None else {}),
    )
