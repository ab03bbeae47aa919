"""Tunability from Python: run studies, measure what tuning costs, ask the trial database, draw.

```python
import tunability as tb

tb.run("study.toml", storage="sqlite:///trials.db")
with tb.open("sqlite:///trials.db") as trials:
    trials.landscape("study/adam")          # xarray: seed x axes
    trials.separability("study")            # verdicts with intervals
    trials.cost("study", target=0.01)       # trials that tuning takes
    trials.plot.landscape("study")          # a matplotlib figure
```

What the command line does, by the same functions and with the same defaults. What an answer leaves out is told as a
`Note`, a warning. Errors of input are one line each: `study.spec.SpecError`, `storage.errors.StoreError`,
`analysis.errors.AnalysisError` and `study.running.address.LaunchError`, the first three ValueErrors.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from storage import PATIENCE
from study.shown.console import DEFAULT_STORAGE

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.documents import VerdictDocument
    from analysis.sensitivity.stored import Sensitivities
    from analysis.separability import Verdict
    from analysis.tables import Asked
    from analysis.views import View
    from storage.store import Store
    from study.running.drive import Report
    from study.running.tuning import TuningReport
    from study.spec import StudySpec
    from study.training.resolve import Study

    Given = str | Path | Mapping[str, Any] | StudySpec | Study

__all__ = [
    "DEFAULT_STORAGE",
    "Forecast",
    "Note",
    "Plots",
    "TrialDatabase",
    "Verdicts",
    "open",
    "plan",
    "run",
    "tune",
]


class Note(UserWarning):
    """What an answer leaves out, or what to know about it."""


def tell(text: str) -> None:
    warnings.warn(text.removeprefix("note: "), Note, stacklevel=4)


@dataclass(frozen=True)
class Forecast:
    """What running a study would do.

    Attributes:
        trials: that the study asks for; `stored` of them are there.
        blocks: of trials that are trained together, still to be trained.
        seconds: roughly, on this machine's cores; None of a black box before some of its trials are stored.
        notes: a line about each optimizer: how it is trained, and how long a trial takes.
    """

    trials: int
    stored: int
    blocks: int
    seconds: float | None
    notes: tuple[str, ...]


class Verdicts(tuple["Verdict", ...]):
    """Verdicts on pairs of axes, one for each optimizer and pair; see `analysis.separability.Verdict`."""

    def __str__(self) -> str:
        return "\n".join(verdict.sentence for verdict in self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        said = "".join(f"<li>{escape(verdict.sentence)}</li>" for verdict in self)
        return f"<ul>{said}</ul>{self.table().to_html(index=False)}"

    def to_json(self) -> list[VerdictDocument]:
        """As JSON types, as `tunability separability --format json` has them."""
        return [verdict.to_json() for verdict in self]

    def table(self) -> pd.DataFrame:
        """A row a verdict: optimizer, axes, verdict, the slope's interval, penalty and interaction."""
        import pandas as pd

        return pd.DataFrame(
            {
                "optimizer": each.optimizer,
                "axes": ", ".join(each.axes),
                "verdict": each.verdict,
                "slope": each.ridge.slope.estimate,
                "slope_low": each.ridge.slope.low,
                "slope_high": each.ridge.slope.high,
                "penalty": each.penalty.estimate,
                "interaction": each.interaction.estimate,
            }
            for each in self
        )


def run(
    study: Given,
    storage: str = DEFAULT_STORAGE,
    *,
    address: str | None = None,
    local: bool = False,
    patience: float = PATIENCE,
    until_decided: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> Report:
    """Train every trial of a study that is not stored yet.

    Args:
        study: a study file, its content as a mapping, or a parsed or resolved study.
        address: HOST:PORT of a running Ray cluster; without one, a cluster of this machine is started.
        local: train in this process instead, without a cluster: one core, but a small study is done sooner. The bits
            are the same.
        patience: seconds to wait for a database that is gone or locked meanwhile.
        until_decided: then add up to so many trials, seeds of the cells that the verdicts on separability hang on.
        strict: refuse to go on where stored trials were made by other versions of what computes.
        progress: draw a bar, in a terminal or a notebook.

    Returns:
        How it went: trials stored and new, warnings, failures. What fails is told there, not raised.

    >>> import tempfile
    >>> spec = {"name": "few", "workload": {"name": "digits-mlp", "steps": 20}, "optimizers": ["adam"], "seeds": 2,
    ...         "space": {"alpha": [0.001, 0.01], "eps": [1e-8, 1e-4]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = run(spec, f"sqlite:///{folder}/t.db", local=True, progress=False)
    >>> report.done
    8
    """
    from study.running.decide import until_decided as seeds_until_decided
    from study.running.run import run as run_study
    from study.shown.console import progress_bar

    _refuse_both(address, local)
    resolved = _resolved(study, storage, address, local)
    further = seeds_until_decided(resolved, until_decided) if until_decided is not None else None
    with progress_bar(resolved.name, progress) as on_progress:
        return run_study(
            resolved,
            storage,
            address,
            further=further,
            strict=strict,
            local=local,
            patience=patience,
            on_progress=on_progress,
        )


def plan(study: Given, storage: str = DEFAULT_STORAGE) -> Forecast:
    """What `run` would train, and how long that takes. Writes nothing; times a few steps."""
    from study.running.forecast import cores, forecast, notes

    resolved, todo, seconds = forecast(_resolved(study, storage), storage, cores())
    return Forecast(resolved.spec.trials, todo.stored, len(todo.blocks), seconds, tuple(notes(resolved)))


def tune(
    study: Given,
    storage: str = DEFAULT_STORAGE,
    *,
    tuners: Sequence[str] | None = None,
    trials: int | None = None,
    replicates: int | None = None,
    noise: str | None = None,
    address: str | None = None,
    local: bool = False,
    patience: float = PATIENCE,
    progress: bool = True,
) -> TuningReport:
    """Run tuners many times on each optimizer's landscape and store the runs; `TrialDatabase.cost` judges them.

    Args:
        study: as for `run`, then what the runs ask for is trained; or the name of a stored study that is complete.
        tuners: names, instead of those that the study says under `tuning`.
        trials: the budget of a run, instead of the study's.
        replicates: runs of each tuner, instead of the study's.
        noise: whether a run sees one seed ("run"), one drawn for each cell ("seed") or means ("mean").
        address: as for `run`.
        local: as for `run`.
        patience: as for `run`.
        progress: as for `run`.
    """
    from study.running.tuning import tune as run_tuners
    from study.shown.console import progress_bar
    from study.spec import parse_tuning

    _refuse_both(address, local)
    stored = isinstance(study, str) and not study.endswith(".toml") and not Path(study).is_file()
    resolved = None if stored else _resolved(study, storage, address, local)
    base = resolved.spec.tuning.model_dump() if resolved else {}
    given = {"tuners": tuners, "trials": trials, "replicates": replicates, "noise": noise}
    tuning = parse_tuning(base | {key: value for key, value in given.items() if value is not None})
    if resolved is not None:
        resolved = replace(resolved, spec=resolved.spec.model_copy(update={"tuning": tuning}))
    name = resolved.name if resolved else str(study)
    with progress_bar(f"tuning {name}", progress) as on_progress:
        return run_tuners(
            name,
            storage,
            tuning,
            resolved,
            address,
            local=local,
            patience=patience,
            on_progress=on_progress,
        )


def open(storage: str = DEFAULT_STORAGE) -> TrialDatabase:
    """Open a trial database for reading. Raises MissingDatabaseError when there is none."""
    from storage.store import open_store

    return TrialDatabase(open_store(storage, create=False))


class TrialDatabase:
    """Stored trials, and what they say. Studies are named as "study", one optimizer of them as "study/optimizer"."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.plot = Plots(store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    def studies(self) -> pd.DataFrame:
        """A row for each study and optimizer: trials, diverged ones, the best value, failed ones."""
        return self.store.studies()

    def trials(self, *studies: str, **asked: Unpack[Asked]) -> pd.DataFrame:
        """Trials, a row each: optimizer, number, seed, the axes, the metric, further metrics, diverged_at, seconds.

        Args:
            where: a filter such as `"alpha < 0.1 and seed = 0"`.
            per_cell: a row a cell instead: mean of the metric over seeds, `spread` (their standard deviation), `seeds`.
            times: also when each started and finished, and in which launch.
            within: only cells whose mean is so near to the best of their optimizer.
            sort: in the order of that column, or against it: "-seconds".
            limit: only so many rows.
            columns: only these.
        """
        from analysis.tables import asked_trials

        return asked_trials(self.store, studies, **asked)

    def curves(
        self, *studies: str, where: str | None = None, sort: str | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """Learning curves, a row a point: optimizer, number, seed, the axes, step, the metric after it.

        `where`, `sort` and `limit` choose the trials, as for `trials`.
        """
        from analysis.tables import asked_curves

        return asked_curves(self.store, studies, where, sort=sort, limit=limit)

    def failures(self, study: str) -> pd.DataFrame:
        """Trials that failed for good, a row each: why, and the last lines that they wrote."""
        from storage.records import split_name

        return self.store.failures(*split_name(study))

    def landscape(self, study: str, where: str | None = None, *, step: int | None = None) -> xr.DataArray:
        """The metric over the space (seed, axes), NaN where a trial is missing, of one optimizer.

        Of a study of several name one, "study/adam". Scattered trials give the landscape of a surrogate. With `step` as
        it was after so many steps of training, by learning curves.
        """
        from analysis.errors import AnalysisError

        found = self.landscapes(study, where=where, step=step)
        if len(found) > 1:
            names = ", ".join(f"{study}/{name}" for name in found)
            raise AnalysisError(f"{study} has several optimizers: give one of {names}, or ask for landscapes")
        (values,) = found.values()
        return values

    def landscapes(
        self, *studies: str, where: str | None = None, step: int | None = None
    ) -> dict[str, xr.DataArray]:
        """The landscapes of all optimizers by name; of several studies, by "study/optimizer"."""
        from analysis.stored import stored_landscapes

        return stored_landscapes(self.store, studies, where, step=step, tell=tell)

    def separability(
        self,
        *studies: str,
        where: str | None = None,
        step: int | None = None,
        axes: Sequence[str] | None = None,
        at: Mapping[str, float | str] | None = None,
        target: float | None = None,
    ) -> Verdicts:
        """Whether pairs of hyperparameters can be tuned one at a time, and what to tune instead.

        Args:
            axes: only pairs of these; slopes are of the first against the second.
            at: further axes are held there, not at their best.
            target: suboptimality to which advice is checked; by default 1% of the landscape's range.
        """
        from analysis.separability import judge_all
        from analysis.stored import stored_landscapes
        from analysis.trained import trained

        panels = stored_landscapes(self.store, studies, where, step=step, extra=True, tell=tell)
        return Verdicts(judge_all(trained(panels, tell), target, _view(axes, at)))

    def cost(
        self,
        study: str,
        target: float | None = None,
        *,
        noise: str | None = None,
        tuners: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Trials that each tuner takes to come within `target` (units of the metric) of the best, with 95% intervals.

        Without a target to the study's own. A row for each optimizer and tuner; NaN is beyond the runs' budget. See the
        documentation for the estimand.
        """
        from analysis.cost.costs import cost_table

        runs = self._runs(study, noise, tuners)
        return cost_table(self.store, runs, self._target(study, target), tell)

    def comparisons(
        self,
        study: str,
        target: float | None = None,
        *,
        noise: str | None = None,
        tuners: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Which is cheaper, for every pair of tuners and of optimizers: ratios of `cost` with 95% intervals."""
        from analysis.cost.costs import comparison_table

        runs = self._runs(study, noise, tuners)
        return comparison_table(self.store, runs, self._target(study, target), tell)

    def sensitivity(
        self,
        *studies: str,
        within: Sequence[float] | None = None,
        defaults: Mapping[str, float] | None = None,
    ) -> Sensitivities:
        """How wide each hyperparameter's good range is, what defaults cost, and how many must be tuned.

        Args:
            within: losses that are tolerated, in units of the metric.
            defaults: to go by, instead of the optimizers' own.
        """
        from analysis.sensitivity.stored import known, stored_sensitivities

        thresholds = tuple(within) if within is not None else None
        return known(stored_sensitivities(self.store, studies, thresholds, defaults), tell)

    def _target(self, study: str, given: float | None) -> float:
        from analysis.target import target_of
        from storage.records import split_name

        return target_of(self.store, split_name(study)[0], given)

    def _runs(self, study: str, noise: str | None, tuners: Sequence[str] | None) -> xr.DataArray:
        from analysis.tuning_runs import Choice, stored_curves
        from storage.records import split_name

        choice = Choice(noise, tuners=tuple(tuners) if tuners is not None else None)
        return stored_curves(self.store, *split_name(study), choice=choice, tell=tell)


class Plots:
    """Figures of stored studies, as `tunability plot` draws them; `figure.savefig(...)` keeps one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def landscape(
        self,
        *studies: str,
        where: str | None = None,
        step: int | None = None,
        axes: Sequence[str] | None = None,
        at: Mapping[str, float | str] | None = None,
        pairs: bool = False,
        ax: Axes | None = None,
    ) -> Figure | None:
        """The metric over two axes, a panel an optimizer; `pairs` draws all pairs of more than two.

        With `ax` the landscape of one optimizer, "study/adam", is drawn there, with a colour bar of its own.
        """
        if ax is None:
            return self._draw("landscape", studies, where=where, step=step, view=_view(axes, at), pairs=pairs)
        from analysis.figures import landscape_on
        from analysis.stored import stored_landscapes
        from analysis.views import shown

        panels = stored_landscapes(self._store, studies, where, step=step, tell=tell)
        landscape_on(ax, {name: shown(each, _view(axes, at)) for name, each in panels.items()})
        return None

    def separability(self, *studies: str, target: float | None = None) -> Figure:
        """Ridges and transitions on the landscapes, transfer regret, tuning before and after the advice."""
        return self._draw("separability", studies, target=target)

    def sensitivity(self, *studies: str) -> Figure:
        """What each value of a hyperparameter loses with the others at their best, and where the default is."""
        return self._draw("sensitivity", studies)

    def suboptimality(self, study: str, target: float | None = None) -> Figure:
        """Suboptimality of the incumbent against trials, a panel a tuner, with bands."""
        return self._draw("suboptimality", [study], target=target)

    def cost(self, study: str, target: float | None = None) -> Figure:
        """Trials that each tuner takes to the target, with intervals."""
        return self._draw("cost", [study], target=target)

    def profile(self, *studies: str, target: float | None = None) -> Figure:
        """Tuners' performance profiles over landscapes (Dolan & Moré, 2002)."""
        return self._draw("profile", studies, target=target)

    def _draw(self, kind: str, studies: Sequence[str], **request: Any) -> Figure:
        from analysis.stored_figures import FIGURES, FigureRequest

        return FIGURES[kind](self._store, FigureRequest(tuple(studies), tell=tell, **request))


def _resolved(study: Given, storage: str, address: str | None = None, local: bool = False) -> Study:
    """Refuses what running it would refuse, as far as it is known before torch is imported."""
    from study.running.refuse import refuse_early
    from study.spec import StudySpec, load_spec, parse_spec
    from study.training.resolve import Study, resolve

    if isinstance(study, Study):
        return study
    source = "study"
    if isinstance(study, Mapping):
        study = parse_spec(study)
    elif not isinstance(study, StudySpec):
        study, source = load_spec(Path(study), tell), str(study)
    refuse_early(study, source, storage, address, local=local)
    return resolve(study, source)


def _refuse_both(address: str | None, local: bool) -> None:
    if address and local:
        raise ValueError("local trains in this process, address on a cluster: give one of them")


def _view(axes: Sequence[str] | None, at: Mapping[str, float | str] | None) -> View:
    from analysis.views import View

    return View(tuple(axes or ()), tuple((at or {}).items()))
