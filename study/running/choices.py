"""How a study is trained: as its database says, so that one that goes on is trained as before, or as timing says."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, replace
from typing import Any

from storage.errors import MissingDatabaseError
from storage.store import Store, open_store
from study.errors import is_ours
from study.spec import SpecError
from study.training.block import Choice
from study.training.choose import choose, is_foreign, take_a_step, untimed
from study.training.resolve import Study

METHODS = "methods"
"""Where in an optimizer's provenance its choice is kept."""


def stored_choices(study: Study, store: Store) -> Study:
    """The study with the choices of its optimizers that the store has, but for a method that its file names."""
    found = {}
    for key, recipe in store.recipes(study.name).items():
        method = recipe.get("method")
        known = any(each.key == key for each in study.optimizers)
        if known and method and study.spec.method in (None, method):
            told = store.provenance(study.name, key).get(METHODS, {}).get(key, {})
            timed = {name: told[name] for name in ("seconds", "note") if name in told}
            found[key] = Choice(method, recipe["compile"], recipe["lanes"], **timed)
    return with_untimed(replace(study, choices={**study.choices, **found}))


def settled(study: Study, storage: str) -> Study:
    """The study with the choices that its database has, or else timed ones, as `with_timed`."""
    return with_timed(with_stored(study, storage))


def with_stored(study: Study, storage: str) -> Study:
    """The study with the choices that its database has, if it has the study. Raises StoreError as the store does."""
    with contextlib.suppress(MissingDatabaseError), open_store(storage, create=False) as store:
        declared = store.recipes(study.name)
        if declared:
            chosen = stored_choices(study, store)
            store.check(study.name, chosen.identities())
            return replace(chosen, choices={key: c for key, c in chosen.choices.items() if key in declared})
    return study


def with_untimed(study: Study) -> Study:
    """The study with a choice for every optimizer, made without timing where there is none."""
    missing = {each.key: untimed(study, each) for each in study.optimizers if each.key not in study.choices}
    return replace(study, choices={**study.choices, **missing})


def with_timed(study: Study) -> Study:
    """The study with a choice for every optimizer, timed on this machine where there is none.

    Foreign code takes a step in any case. Raises SpecError, one line, when it cannot.
    """
    choices = dict(study.choices)
    for optimizer in study.optimizers:
        try:
            if optimizer.key not in choices:
                choices[optimizer.key] = choose(study, optimizer)
            elif is_foreign(study, optimizer):
                take_a_step(study, optimizer, choices[optimizer.key])
        except Exception as error:  # whatever a foreign class or module raises
            reason = str(error) if is_ours(error) else f"{type(error).__name__}: {error}".splitlines()[0]
            raise SpecError(f"{optimizer.key} cannot train {study.training.name} ({reason})") from error
    return replace(study, choices=choices)


def are_settled(study: Study) -> bool:
    """Whether `with_timed` would do nothing."""
    return all(each.key in study.choices and not is_foreign(study, each) for each in study.optimizers)


def as_provenance(study: Study) -> dict[str, Any]:
    """The choices as the store keeps them."""
    return {name: asdict(choice) for name, choice in study.choices.items()}
