"""The command line: parses, calls, shows. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from study.cli import answers, machine, moving, plots, queries, running
from study.cli.options import BAD_INPUT
from study.errors import is_ours
from study.shown.console import Quiet, complain

app = typer.Typer(
    help="How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
plot_app = typer.Typer(help="Draw figures of stored trials.", no_args_is_help=True)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": running.run,
    "tune": running.tune,
    "cost": answers.cost,
    "separability": answers.separability,
    "sensitivity": answers.sensitivity,
    "studies": queries.studies,
    "trials": queries.trials,
    "launches": queries.launches,
    "failures": queries.failures,
    "import": moving.import_trials,
    "copy": moving.copy,
    "merge": moving.merge,
    "rename": moving.rename,
    "delete": moving.delete,
    "list": machine.list_catalog,
    "example": machine.example,
    "doctor": machine.doctor,
    "serve": machine.serve,
}
PLOTS: dict[str, Callable[..., None]] = {
    "landscape": plots.landscape,
    "suboptimality": plots.suboptimality,
    "cost": plots.cost,
    "separability": plots.separability,
    "sensitivity": plots.sensitivity,
    "profile": plots.profile,
}


def main() -> None:
    """Entry point. An input that our own errors refuse is one line on standard error and exit code 2."""
    # Or Python looks through all of torch for cycles in the end, which takes a second of a free core.
    atexit.register(gc.freeze)
    try:
        app()
    except Exception as error:
        if not is_ours(error):
            raise
        complain(f"error: {error}")
        sys.exit(BAD_INPUT)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tunability {version('tunability')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Leave out progress, notes and what to type next; results and errors stay."
        ),
    ] = False,
) -> None:
    """How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?"""
    del version  # its callback has shown it
    Quiet.wanted = quiet


for name, command in COMMANDS.items():
    app.command(name)(command)
for name, command in PLOTS.items():
    plot_app.command(name)(command)
app.add_typer(plot_app, name="plot")
