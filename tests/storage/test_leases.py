"""Leases: what a driver is training is nobody else's, until it is stored, has failed, or the driver has ended."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from storage import leases
from storage.leases import has_ended, new_holder
from storage.records import Trials, cell_keys
from storage.store import Store, open_store

ONE, OTHER = new_holder(), new_holder()
Declare = Callable[[Store], None]
Batch = Callable[..., Trials]


@pytest.fixture(params=["sqlite", "postgresql"])
def two(
    request: pytest.FixtureRequest, prepared: Callable[[str], str], declare: Declare
) -> Iterator[tuple[Store, Store]]:
    """Two stores of one database, as two drivers have them."""
    url = prepared(request.param)
    with open_store(url, create=True) as one, open_store(url, create=True) as other:
        declare(one)
        declare(other)
        yield one, other


def test_cells_are_shared(two: tuple[Store, Store], batch: Batch) -> None:
    one, other = two
    trials = batch()
    cells = cell_keys(trials.hyperparameters)
    first = one.lease("digits", "adam", trials.seed, cells[:8], ONE)
    assert (len(first.ours), first.others, first.stored) == (8, frozenset(), frozenset())
    assert one.lease("digits", "adam", trials.seed, cells[:8], ONE) == first  # it has them already
    second = other.lease("digits", "adam", trials.seed, cells, OTHER)
    assert second.ours == set(cells[8:])
    assert second.others == set(cells[:8])
    assert not other.lease("digits", "adam", trials.seed + 1, cells, OTHER).others
    assert not other.lease("digits", "avagrad", trials.seed, cells, OTHER).others
    assert one.append("digits", "adam", trials) == 12
    third = other.lease("digits", "adam", trials.seed, cells, OTHER)
    assert (third.ours, third.others, third.stored) == (frozenset(), frozenset(), frozenset(cells))


def test_what_failed_or_is_released_is_free(two: tuple[Store, Store], batch: Batch) -> None:
    one, other = two
    cells = cell_keys(batch().hyperparameters)
    one.lease("digits", "adam", 0, cells, ONE)
    assert not other.lease("digits", "adam", 0, cells, OTHER).ours
    one.append_failures("digits", "adam", cells[:2], 0, "it failed")
    assert other.lease("digits", "adam", 0, cells, OTHER).ours == set(cells[:2])
    one.release_leases(ONE)
    assert other.lease("digits", "adam", 0, cells, OTHER).ours == set(cells)
    assert one.lease("digits", "adam", 0, cells, ONE).others == set(cells)


def test_leases_end_unless_they_are_renewed(
    two: tuple[Store, Store], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    cells = cell_keys(batch().hyperparameters)
    monkeypatch.setattr(leases, "SECONDS", -1.0)
    one.lease("digits", "adam", 0, cells, ONE)
    assert other.lease("digits", "adam", 0, cells, OTHER).ours == set(cells)
    monkeypatch.setattr(leases, "SECONDS", 60.0)
    other.renew_leases(OTHER)
    assert one.lease("digits", "adam", 0, cells, ONE).others == set(cells)


def test_a_process_that_has_ended_holds_nothing(two: tuple[Store, Store], batch: Batch) -> None:
    one, other = two
    cells = cell_keys(batch().hyperparameters)
    code = "from storage.leases import new_holder; print(new_holder())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert one.lease("digits", "adam", 0, cells, ended.strip()).ours == set(cells)
    assert other.lease("digits", "adam", 0, cells, OTHER).ours == set(cells)


def test_who_is_known_to_have_ended() -> None:
    holder = new_holder()
    where, pid, created, name = holder.split("/")
    assert not has_ended(holder)
    assert has_ended(f"{where}/{pid}/1.00/{name}")  # another process has its number by now
    assert not has_ended(f"elsewhere/{pid}/1.00/{name}")
    assert not has_ended(f"elsewhere/999999999/{created}/{name}")
    assert has_ended(f"{where}/999999999/{created}/{name}")
