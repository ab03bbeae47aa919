"""A cluster of this machine that starts before torch is imported and the study resolved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from storage.errors import MissingDatabaseError
from storage.store import open_store
from study.running.refuse import is_complete
from study.spec import BlackBoxSpec, StudySpec


@contextlib.contextmanager
def early_cluster(spec: StudySpec, storage: str) -> Iterator[None]:
    """Have a cluster start that the block's `study.running.run.run` takes, where it surely will need one.

    For what has passed `refuse_early`, without an address. If it was not taken, it ends with the block.
    """
    begun = None
    if will_need_one(spec, storage):
        from study.running.launch.cluster import Beginning  # with Ray, which takes a while

        begun = Beginning.begin()
    try:
        yield
    finally:
        if begun:
            begun.end_untaken()


def will_need_one(spec: StudySpec, storage: str) -> bool:
    """Whether trials are missing, and only known names are given.

    What import paths name may be refused, and workers look for it where this process does when their cluster starts.
    """
    if isinstance(spec.workload, BlackBoxSpec):
        return False
    if any(":" in name for name in (spec.workload.name, *(each.name for each in spec.optimizers))):
        return False
    with contextlib.suppress(MissingDatabaseError), open_store(storage, create=False) as store:
        return not is_complete(spec, store)
    return True
