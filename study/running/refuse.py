"""What is refused before torch and Ray are imported, which takes seconds: wrong names, no GPU, another recipe.

It is told again, and completely, when a study is resolved and planned.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.errors import MissingDatabaseError
from storage.store import Store, open_store
from study.running.address import check_address
from study.spec import BlackBoxSpec, OptimizerSpec, SpecError, StudySpec, WorkloadSpec
from study.training.named import optimizer_unloaded
from study.training.resolve import check_names, resolve, written_identity

DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""One of which a Linux machine with a GPU has: NVIDIA's, AMD's, and Windows' below it."""


def refuse_early(
    spec: StudySpec, source: str, storage: str, address: str | None = None, *, local: bool = False
) -> None:
    """Raise SpecError, StoreError or LaunchError for what running the study would refuse, without importing torch.

    What import paths name may import it. `address` and `local` as for `study.running.run.run`.
    """
    check_names(spec, source)
    if address:
        check_address(address)
    with suppress(MissingDatabaseError), open_store(storage, create=False) as store:
        check_stored(spec, source, store)
    if address is None and not (local and spec.device == "cpu"):
        refuse_without_gpu(spec, source, storage)


def refuse_without_gpu(spec: StudySpec, source: str, storage: str) -> None:
    """Raise SpecError when the study asks for a GPU, this machine has none, and there are trials left to train."""
    if "GPU" not in spec.amounts or sys.platform != "linux" or any(Path(each).exists() for each in DEVICES):
        return
    with suppress(MissingDatabaseError), open_store(storage, create=False) as store:
        if is_complete(spec, store):
            return
    needs, words = "resources", "resources.gpu"
    if spec.device == "cuda":
        needs, words = "device", 'device = "cuda"'
    detail = (
        f"{words} asks for a GPU, and this machine has none: leave it out, or give a cluster by --address"
    )
    raise SpecError(f"{source}: {detail}", [{"location": needs, "detail": detail}])


def check_stored(spec: StudySpec, source: str, store: Store) -> None:
    """Raise StoreError when trials are stored by a recipe that differs in what the file says."""
    stored = store.recipes(spec.name)
    if isinstance(spec.workload, BlackBoxSpec):
        if stored:
            store.check(spec.name, resolve(spec, source).identities())
        return
    known = [each for each in spec.optimizers if each.key in stored]
    # what the file does not say is taken to be as it is stored
    store.check(
        spec.name, {each.key: {**stored[each.key], **written(spec, spec.workload, each)} for each in known}
    )


def written(spec: StudySpec, workload: WorkloadSpec, optimizer: OptimizerSpec) -> dict[str, Any]:
    """What is known of an optimizer's recipe without torch: what the file says, and the settings of one of ours."""
    rule = optimizer_unloaded(optimizer.name)
    settings = {"settings": rule.complete(optimizer.settings)} if rule else {}
    return {**written_identity(spec, workload, optimizer), **settings}


def is_complete(spec: StudySpec, store: Store) -> bool:
    """Whether there are as many trials as the study asks for, so that there may be none to train."""
    declared = store.recipes(spec.name)
    return all(
        each.key in declared and len(store.stored(spec.name, each.key)) >= spec.space.size * spec.seeds
        for each in spec.optimizers
    )
