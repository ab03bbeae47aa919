"""Stores with landscapes that are known."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces import SearchSpace
from storage.records import Trials
from storage.store import Store, open_store

Keep = Callable[..., Store]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Stores surfaces (*shape) by optimizer as a study: seeds differ by an effect that cells share, and by noise."""

    def store_of(
        study: str,
        space: SearchSpace,
        surfaces: Mapping[str, np.ndarray],
        settings: Mapping[str, Any] | None = None,
        *,
        noise: float = 0.0,
        seeds: int = 3,
        metric: str = "error",
        diverged: tuple[str, ...] = (),
    ) -> Store:
        store = open_store(f"sqlite:///{tmp_path}/known.db", create=True)
        recipe = {"settings": dict(settings or {}), "axes": {}}
        store.declare(
            study,
            dict.fromkeys(surfaces, recipe),
            space=space,
            metric=metric,
            spec={"seeds": seeds},
            provenance={},
        )
        source, now = np.random.default_rng(0), datetime.now(UTC)
        for optimizer, surface in surfaces.items():
            for seed in range(seeds):
                count = space.size
                value = surface.ravel() + 0.001 * seed + noise * source.standard_normal(count)
                trials = Trials(
                    hyperparameters=dict(zip(space.names, space.cells().T, strict=True)),
                    seed=seed,
                    value=value,
                    metrics={},
                    curve_steps=np.empty(0, dtype=np.int64),
                    curve=np.empty((count, 0)),
                    diverged_at=np.full(count, 3 if optimizer in diverged else -1),
                    seconds=np.zeros(count),
                    started=now,
                    finished=now,
                )
                store.append(study, optimizer, trials)
        return store

    return store_of
