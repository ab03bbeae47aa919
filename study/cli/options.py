"""Options that several commands take, and what is made of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from analysis.target import DEFAULT_TARGET
from study.data_folder import DATA, set_data_folder

if TYPE_CHECKING:
    from analysis.views import View

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes beside 0."""
Format = Literal["table", "csv", "json", "parquet"]
CostFormat = Literal["table", "csv", "json"]
VerdictFormat = Literal["table", "json"]
Noise = Literal["run", "seed", "mean"]
Catalog = Literal["optimizers", "tuners", "workloads", "spaces", "studies"]
DataDir = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        envvar=DATA,
        metavar="FOLDER",
        help="Where a workload's data that is not named by its absolute path lies.",
        callback=set_data_folder,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        envvar="TUNABILITY_STORAGE",
        metavar="URL",
        help="The trial database: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.",
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study, or STUDY/OPTIMIZER.")]
WholeStudy = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]
From = Annotated[str, typer.Argument(metavar="SRC", help="The database to read, a URL as for --storage.")]
Into = Annotated[str, typer.Argument(metavar="DST", help="The database to write, a URL as for --storage.")]
StudyNames = Annotated[list[str], typer.Argument(metavar="STUDY...", help="Studies, or STUDY/OPTIMIZER.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="FILTER", help='Only these trials, e.g. "alpha < 0.1 and seed = 0".'),
]
Step = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="STEPS", help="As it was after so many steps of training, by learning curves."
    ),
]
Target = Annotated[
    float | None,
    typer.Option(
        help="Suboptimality that counts as found, in units of the metric; by default the study's own, which is "
        f"{DEFAULT_TARGET} where its file says nothing."
    ),
]
AdviceTarget = Annotated[
    float | None,
    typer.Option(help="Suboptimality to which advice is checked; by default 1% of the landscape's range."),
]
Within = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="Losses that are tolerated, comma-separated, in units of the metric; by default 0.005,0.01,0.02 of a "
        "rate, those shares of the range of another metric.",
    ),
]
Defaults = Annotated[
    str | None,
    typer.Option(
        metavar="AXIS=NUMBER,...",
        help="Defaults to go by, e.g. alpha=0.1,eps=1e-8; the optimizer's own if not.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="The axes to show, e.g. alpha,eps: upwards and to the right; else the first two.",
    ),
]
JudgedAxes = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Only pairs of these, the first one's best value against the second."),
]
AddressOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster instead of this machine.")
]
LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Train in this process, without a cluster: one core, but a small study is done sooner.",
    ),
]
PatienceOption = Annotated[
    float,
    typer.Option(
        min=0, metavar="SECONDS", help="Wait so long for a database that is gone or locked meanwhile."
    ),
]
AtOption = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="AXIS=VALUE", help="Hold a further axis there, not at its best; may be repeated."
    ),
]
NoiseOption = Annotated[
    Noise | None,
    typer.Option(help="Runs on one seed each, a seed drawn for each cell, or means; the first there is."),
]
TunersOption = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Only these, comma-separated; all by default.")
]
Out = Annotated[
    list[Path], typer.Option("--out", "-o", metavar="FILE", help="PNG, PDF or SVG; may be repeated.")
]


def view_of(axes: str | None, at: Sequence[str] | None) -> View:
    from analysis.views import View

    return View.of_texts(axes, at or ())


def split_names(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))


def split_tuners(names: str | None) -> tuple[str, ...] | None:
    return None if names is None else split_names(names)
