"""Any torch optimizer, one trial after another: the same training as fused, only slower."""

import numpy as np
import pytest
import pytorch_optimizer
import torch

from study.spec.schedules import Schedule, WeightDecay
from study.training.block import Block, Recipe
from study.training.named import optimizer_named, workload_named
from study.training.torch_class import TorchClass
from study.training.trainer import Trainer
from study.workloads.draws import no_draws
from study.workloads.module import WorkloadError

RATES = np.array([0.003, 0.03, 0.3])


def block(optimizer: str, **recipe: object) -> Block:
    alone = "one-by-one" if ":" in optimizer else "fused"
    settings = {"steps": 40, "dtype": "float64", "method": alone, **recipe}
    return Block(Recipe("digits-mlp", optimizer, **settings), 1, {"lr": RATES})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"weight_decay": WeightDecay(value=0.01), "clip_norm": 0.5},
        {
            "weight_decay": WeightDecay(value=0.05, kind="decoupled"),
            "schedule": Schedule(name="cosine", warmup=5),
        },
        {"weight_decay": WeightDecay(value=0.05, kind="adjusted", reference_lr=0.1)},
    ],
)
def test_torchs_adam_unfused_is_ours_fused(recipe: dict[str, object]) -> None:
    trainer = Trainer(3, compile=False)
    unfused, fused = (
        trainer.train(block("torch.optim:Adam", **recipe)),
        trainer.train(block("adam", **recipe)),
    )
    assert unfused.metrics.keys() == fused.metrics.keys()
    for name, values in fused.metrics.items():
        np.testing.assert_allclose(unfused.metrics[name], values, rtol=1e-8, err_msg=name)
    np.testing.assert_allclose(unfused.curve, fused.curve)
    np.testing.assert_array_equal(unfused.curve_steps, fused.curve_steps)
    assert unfused.diverged_at.tolist() == [-1, -1, -1]


def test_divergence_is_the_same_data() -> None:
    trainer = Trainer(2, compile=False)
    outcomes = [
        trainer.train(
            Block(
                Recipe("digits-mlp", name, steps=40, method="one-by-one"), 0, {"lr": np.array([0.01, 1e30])}
            )
        )
        for name in ("torch.optim:Adam", "adam")
    ]
    assert outcomes[0].diverged_at.tolist() == outcomes[1].diverged_at.tolist() == [-1, 2]
    for name, values in outcomes[1].metrics.items():
        np.testing.assert_allclose(outcomes[0].metrics[name], values, rtol=1e-3)
    assert (outcomes[0].curve[1] == 1.0).all()


def test_an_optimizer_that_evaluates_the_loss_itself() -> None:
    outcome = Trainer(2, compile=False).train(block("torch.optim:LBFGS", steps=20))
    assert (
        outcome.metrics["validation_error"].min() < 0.2
    )  # untrained 0.9; its line search amplifies last bits


def test_an_optimizer_of_a_library() -> None:
    options = (("betas", (0.9, 0.99)), ("weight_decay", 0.1))
    outcome = Trainer(3, compile=False).train(
        Block(
            Recipe("digits-mlp", "pytorch_optimizer:Lion", options, steps=150, method="one-by-one"),
            0,
            {"lr": np.array([1e-4, 1e-3, 1e-2]), "betas[0]": np.array([0.9, 0.8, 0.7])},
        )
    )
    assert outcome.metrics["validation_error"][1] < 0.15


def test_arguments_by_name_and_by_item() -> None:
    lion = optimizer_named("pytorch_optimizer:Lion")
    assert isinstance(lion, TorchClass)
    weights = [torch.zeros(2, requires_grad=True)]
    made = lion.make(weights, {"weight_decay": 0.1}, {"lr": 0.5, "betas[1]": 0.7})
    assert isinstance(made, pytorch_optimizer.Lion)
    (group,) = made.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.5, (0.9, 0.7), 0.1)
    assert lion.own_name("alpha") == "lr"
    with pytest.raises(ValueError, match="no argument 'eps': it has lr, betas"):
        lion.own_name("eps")
    with pytest.raises(ValueError, match="no argument 'beta'"):
        lion.settings({"beta": 0.9})


def test_an_optimizer_that_changes_its_learning_rate_is_let() -> None:
    """ASGD of pytorch_optimizer does; with a schedule, its rate is multiplied by the schedule's changes."""
    recipe = Recipe("digits-mlp", "pytorch_optimizer:ASGD", steps=50, method="one-by-one")
    workload = workload_named("digits-mlp")
    params, carry = workload.init(0)
    weights = {name: value.requires_grad_() for name, value in params.items()}
    optimizer = pytorch_optimizer.ASGD(weights.values(), lr=0.03)
    for _, batch in zip(range(50), workload.batches(0), strict=False):
        optimizer.zero_grad()
        workload.phases[0].loss(weights, carry, batch, no_draws())[0].backward()
        optimizer.step()
    (validation,) = workload.evaluation(0, "validation")
    sums, count = workload.evaluate(weights, carry, validation)
    outcome = Trainer(1, compile=False).train(Block(recipe, 0, {"lr": np.array([0.03])}))
    assert outcome.metrics["validation_loss"][0] == pytest.approx(
        sums["validation_loss"].item() / count, rel=1e-5
    )


def test_a_seed_is_its_own_training() -> None:
    first, second = (
        Trainer(1, compile=False).train(
            Block(
                Recipe("digits-mlp", "torch.optim:SGD", steps=20, method="one-by-one"),
                seed,
                {"lr": RATES[:1]},
            )
        )
        for seed in (0, 1)
    )
    assert first.metrics["train_loss"][0] != second.metrics["train_loss"][0]
    assert workload_named("digits-mlp").metric in first.metrics


def test_random_numbers_that_begin_later_are_noticed() -> None:
    recipe = Recipe("known_workloads:late", "adam", steps=40, method="one-by-one", compile=False)
    with pytest.raises(WorkloadError, match="that its first step did not ask for"):
        Trainer(1, compile=False).train(Block(recipe, 0, {"lr": np.array([0.01])}))
