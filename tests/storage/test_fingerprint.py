"""A checksum of trials that tells any change, and nothing of their order."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from storage.fingerprint import Fingerprint, fingerprint, stored_in
from storage.records import Trials
from storage.store import Store, open_store

Batch = Callable[..., Trials]
Declare = Callable[..., None]


@pytest.fixture
def other(prepared: Callable[[str], str], declare: Declare) -> Iterator[Store]:
    with open_store(prepared("sqlite"), create=True) as opened:
        declare(opened)
        yield opened


@pytest.fixture
def of_adam(store: Store, declare: Declare, batch: Batch) -> Fingerprint:
    declare(store)
    store.append("digits", "adam", batch())
    return fingerprint(store, "digits", "adam")


def test_order_blocks_and_the_kind_of_database_do_not_matter(
    of_adam: Fingerprint, store: Store, other: Store, batch: Batch
) -> None:
    for part in (slice(None, 5, -1), slice(5, None, -1)):
        other.append("digits", "adam", batch(part))
    assert of_adam == fingerprint(other, "digits", "adam")
    assert of_adam.trials == 12
    assert fingerprint(store, "digits", "avagrad") == Fingerprint()


@pytest.mark.parametrize(
    "what", ["value", "train_loss", "curve", "seconds", "diverged_at", "seed", "finished"]
)
def test_any_change_is_told(what: str, of_adam: Fingerprint, other: Store, batch: Batch) -> None:
    """The last bit of one number of one trial."""
    trials = batch()
    if what == "seed":
        changed = batch(seed=1)
        changed = batch(seed=1, value=trials.value, metrics=trials.metrics, curve=trials.curve)
    elif what == "finished":
        changed = batch(finished=trials.finished.replace(microsecond=1))
    elif what == "diverged_at":
        changed = batch(diverged_at=np.array([*[-1] * 11, 200]))
    else:
        column = trials.metrics["train_loss"] if what == "train_loss" else getattr(trials, what)
        column = column.copy()
        column[7] = np.nextafter(column[7], 2)
        changed = batch(**({"metrics": {"train_loss": column}} if what == "train_loss" else {what: column}))
    other.append("digits", "adam", changed)
    found = fingerprint(other, "digits", "adam")
    assert found.trials == 12
    assert found.checksum != of_adam.checksum


def test_parts_add_up(of_adam: Fingerprint, other: Store, batch: Batch) -> None:
    other.append("digits", "adam", batch(slice(0, 5)))
    first = fingerprint(other, "digits", "adam")
    other.append("digits", "adam", batch(slice(5, None)))
    assert first + (of_adam - first) == of_adam == fingerprint(other, "digits", "adam")
    last = fingerprint(other, "digits", "adam", lambda trials: [False] * 5 + [True] * (len(trials) - 5))
    assert last == of_adam - first
    assert str(Fingerprint(1200, 255)) == "1,200 trials, checksum 00000000000000ff"


def test_those_that_another_store_has(of_adam: Fingerprint, store: Store, other: Store, batch: Batch) -> None:
    other.append("digits", "adam", batch(slice(0, 4)))
    other.append("digits", "adam", batch(slice(4, 8), seed=1))
    of_both = fingerprint(store, "digits", "adam", stored_in(other, "digits", "adam"))
    assert of_both == fingerprint(other, "digits", "adam", stored_in(store, "digits", "adam"))
    assert of_both.trials == 4 < of_adam.trials
