"""Apollo, Theorem 1: the trajectory depends on eta / sigma alone, on a real workload."""

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.func import grad, vmap
from torch.utils import _pytree as pytree

from analysis.separability import judge
from study.optimizers import Apollo
from study.running.choices import with_untimed
from study.running.plan import make_block
from study.spec import parse_spec
from study.training.resolve import resolve
from study.training.trainer import Trainer
from study.workloads import WORKLOADS
from study.workloads.draws import no_draws

RATIOS = np.geomspace(
    0.005, 4, 9
)  # eta / sigma; from about 10 on training is chaotic and rounding errors grow
SCALES = np.geomspace(1e-3, 1e3, 9)  # sigma
STEPS = 200


def trajectories(**options: object) -> NDArray[np.float64]:
    """Weights of digits-mlp after 100 and 200 steps, (2, ratios, scales, weights), warmed up during 50 steps."""
    rule, workload = Apollo.rule, WORKLOADS["digits-mlp"]()
    eta, sigma = (grid.ravel() for grid in (np.outer(RATIOS, SCALES), np.tile(SCALES, (len(RATIOS), 1))))
    numbers, chosen = rule.settings({"warmup": 50, "weight_decay": 5e-4, **options})
    filled = rule.fill({**numbers, "lr": eta, "sigma": sigma})
    lanes = len(eta)
    hyperparameters = {key: torch.from_numpy(np.broadcast_to(v, lanes).copy()) for key, v in filled.items()}
    hyperparameters["base_lr"] = hyperparameters["lr"]
    start = {key: value.double() for key, value in workload.init(0)[0].items()}
    params, state = pytree.tree_map(
        lambda t: t.expand(lanes, *t.shape).clone(), (start, rule.init(start, chosen))
    )
    batches, kept = workload.batches(0), []

    def loss_of(params: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return workload.phases[0].loss(params, {}, (images, labels), no_draws())[0]

    for t in range(1, STEPS + 1):
        images, labels = next(batches)
        grads = vmap(grad(loss_of), in_dims=(0, None, None))(params, images.double(), labels)
        params, state = vmap(rule.update, in_dims=(0, 0, 0, 0, None, None))(
            grads, state, params, hyperparameters, torch.tensor(float(t)).double(), chosen
        )
        if t % 100 == 0:
            kept.append(torch.cat([w.flatten(1) for w in params.values()], 1).numpy())
    return np.stack(kept).reshape(len(kept), len(RATIOS), len(SCALES), -1)


def deviation(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest relative distance from the trajectory of the middle scale, for every ratio."""
    middle = weights[:, :, len(SCALES) // 2 : len(SCALES) // 2 + 1]
    distance = np.linalg.norm(weights - middle, axis=-1) / np.linalg.norm(middle, axis=-1)
    return distance.max(axis=(0, 2))


@pytest.mark.parametrize("options", [{}, {"weight_decay_type": "stable"}])
def test_trajectories_of_one_ratio_agree(options: dict[str, object]) -> None:
    weights = trajectories(**options)
    assert np.isfinite(weights).all()
    assert deviation(weights).max() < 1e-9
    between = np.linalg.norm(np.diff(weights[-1, :, 0], axis=0), axis=-1)
    assert (between > 1e-3).all()  # different ratios are different trainings


@pytest.mark.parametrize(
    "options",
    [
        {"scale_eps": False},
        pytest.param({"init_lr": 1e-5}, marks=pytest.mark.slow),
        pytest.param({"weight_decay_type": "decoupled", "weight_decay": 1e-4}, marks=pytest.mark.slow),
    ],
)
def test_they_do_not_where_the_theorem_does_not_hold(options: dict[str, object]) -> None:
    """eps, the first learning rate or the decay is the same for all sigma."""
    assert deviation(trajectories(**options)).max() > 1e-5


def test_the_verdict_on_eta_and_sigma_is_one_parameter() -> None:
    """What Theorem 1 says, found by training a grid of both and looking at the landscape only."""
    study = resolve(
        parse_spec(
            {
                "name": "apollo",
                "workload": {"name": "digits-mlp", "steps": 30},
                "optimizers": [{"name": "apollo", "warmup": 10}],
                "seeds": 2,
                "space": {
                    "eta": {"low": 1e-4, "high": 1e3, "num": 15, "scale": "log"},
                    "sigma": {"low": 1e-2, "high": 1e2, "num": 5, "scale": "log"},
                },
            }
        )
    )
    study = with_untimed(study)
    cells = study.spec.space.cells()
    blocks = [make_block(study, study.optimizers[0], seed, cells, len(cells)) for seed in range(2)]
    errors = np.stack([Trainer().train(block).metrics["validation_error"] for block in blocks])
    axes = {axis.name: (axis.name, list(axis.values), {"scale": "log"}) for axis in study.spec.space.axes}
    landscape = xr.DataArray(errors.reshape(2, 15, 5), {"seed": range(2), **axes}, ("seed", "eta", "sigma"))
    (verdict,) = judge("apollo", landscape)
    assert verdict.ridge.slope.low <= 1 <= verdict.ridge.slope.high
    assert (
        verdict.ridge.slope.high - verdict.ridge.slope.low < 0.4
    )  # of four rows, whose valley is steep on one side
    assert "eta/sigma" in verdict.sentence
    assert "the one effective parameter" in verdict.sentence
