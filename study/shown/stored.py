"""What a trial database holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.shown.console import note, show_table

if TYPE_CHECKING:
    import pandas as pd

    from storage.copy import Copied
    from storage.store import Store


def show_studies(store: Store) -> None:
    """A row for each study and optimizer; instead of the best value, that nothing trained; failed trials if any."""
    from analysis.trained import nothing_trained
    from storage.export import write

    frame = store.studies()
    best = [
        nothing_trained(trials, diverged) or value
        for trials, diverged, value in zip(frame["trials"], frame["diverged"], frame["best"], strict=True)
    ]
    frame["best"] = frame["best"].astype(object)
    frame.loc[:, "best"] = best
    if not frame["failed"].any():
        del frame["failed"]
    write(frame, "table", None)


def show_launches(study: str, store: Store) -> None:
    """Every launch of a study's optimizers: when, with which versions, on what, and how many trials are from it."""
    made: dict[int, dict[str, Any]] = {}
    for optimizer in store.optimizers(study):
        for each in store.provenances(study, optimizer):
            launch = made.setdefault(each["launch"], {**each, "trials": 0})
            launch["trials"] += each["trials"]
    rows = []
    for number, each in sorted(made.items()):
        packages = each.get("packages", {})
        versions = " ".join(
            f"{name} {packages[name]}" for name in ("tunability", "torch") if name in packages
        )
        machine = each.get("machine")
        processor = machine.get("processor", "") if isinstance(machine, dict) else ""
        when = each.get("declared", each.get("imported", ""))
        rows.append((str(number), str(when), f"{each['trials']:,}", versions, str(processor)))
    show_table(("launch", "when", "trials", "versions", "processor"), rows)


def show_failures(frame: pd.DataFrame) -> None:
    """Trials that failed, the last first, then the last lines that they wrote; those that several did, once."""
    from rich.markup import escape

    when = frame["failed_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    shown = frame.drop(columns="lines").assign(failed_at=when, reason=frame["reason"].map(escape))
    shown = shown.astype(object).where(shown.notna(), "-")
    rows = [
        tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in row)
        for row in shown.itertuples(index=False)
    ]
    show_table(tuple(shown.columns), rows)
    alike = frame["reason"].str.replace(r" \(its folder is .*\)$", "", regex=True)
    for said, group in frame.groupby([alike, "lines"], sort=False):
        reason, lines = map(str, said)
        if lines:
            told = [f"  | {line}" for line in lines.splitlines()]
            print(f"{len(group):,} of them: {reason}", *told, sep="\n")


def show_copied(study: str, copied: Copied) -> None:
    """What came of copying or merging a study, and what stayed behind."""
    if copied.foreign:
        note(f"{study}: {copied.foreign:,} trials that others added through Optuna have no seed: not copied")
    for optimizer in copied.kept:
        note(f"{study}/{optimizer}: some trials have other values there, which stay")
    print(
        f"{study}: {copied.new:,} trials and {copied.runs:,} tuning runs copied; verified: {copied.found}, "
        f"{copied.before:,} of them there before"
    )
