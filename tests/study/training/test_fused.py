"""Fused training: a lane's result is the torch optimizer's alone, to the bit the same in any block."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.utils import _pytree as pytree

from study.optimizers import OPTIMIZERS, AdaHessian, Rule
from study.spec.schedules import Schedule, WeightDecay
from study.training.block import Block, Outcome, Recipe, curve_steps
from study.training.loop import to
from study.training.named import optimizer_named, workload_named
from study.training.program import Programs
from study.training.program_run import ProgramRun
from study.training.step import in_order, random_signs
from study.training.trainer import Trainer
from study.workloads.draws import no_draws

CPU = torch.device("cpu")
ALPHA = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0])
EPS = np.array([1e-8, 1e-2, 1e-6, 1.0, 1e-4, 0.1])


INVARIANT = [
    ("digits-mlp", "adam"),
    ("digits-cnn-bn", "avagrad"),
    ("digits-mlp", "avagrad"),
    ("digits-mlp", "avagrad-official"),
    ("digits-cnn", "adam"),
    ("mnist-mlp", "avagrad"),
]


def block(lanes: Sequence[int] = range(6), **changes: object) -> Block:
    chosen = list(lanes)
    recipe = Recipe(**({"workload": "digits-mlp", "optimizer": "adam", "steps": 40} | changes))  # type: ignore[arg-type]
    given = {"lr": ALPHA[chosen], "eps": EPS[chosen]}
    own = optimizer_named(recipe.optimizer)
    assert isinstance(own, Rule)
    return Block(recipe, 1, {name: values for name, values in given.items() if name in own.hyperparameters})


def assert_lanes_equal(part: Outcome, whole: Outcome, lanes: Sequence[int]) -> None:
    chosen = list(lanes)
    np.testing.assert_array_equal(part.curve, whole.curve[chosen])
    np.testing.assert_array_equal(part.diverged_at, whole.diverged_at[chosen])
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(part.metrics[name], values[chosen], err_msg=name)


@pytest.mark.parametrize(
    ("workload", "optimizer", "compile"),
    [
        *((*names, False) for names in INVARIANT),
        (*INVARIANT[0], True),
        *(pytest.param(*names, True, marks=pytest.mark.slow) for names in INVARIANT[1:]),
    ],
)
def test_batch_invariance(workload: str, optimizer: str, compile: bool) -> None:
    """Same bits in any order, in a smaller block, alone, and with another number of lanes a program."""
    of = {"workload": workload, "optimizer": optimizer}
    six = Trainer(6, compile=compile)
    whole = six.train(block(**of))
    assert len(set(whole.metrics["train_loss"])) == 6
    for lanes in ([5, 3, 1, 0, 2, 4], [4, 1], [2]):
        assert_lanes_equal(six.train(block(lanes, **of)), whole, lanes)
    assert_lanes_equal(Trainer(1, compile=compile).train(block([3], **of)), whole, [3])
    assert_lanes_equal(Trainer(9, compile=compile).train(block(**of)), whole, range(6))


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_batch_invariance_at_a_studys_own_size(compile: bool) -> None:
    """63 lanes, as the 441 cells of digits-mlp are trained, against 6."""
    many = np.tile(ALPHA, 11)[:63]
    whole = Trainer(63, compile=compile).train(Block(Recipe("digits-mlp", "adam", steps=40), 1, {"lr": many}))
    few = Trainer(6, compile=compile).train(Block(Recipe("digits-mlp", "adam", steps=40), 1, {"lr": ALPHA}))
    for start in range(0, 60, 6):
        assert_lanes_equal(few, whole, range(start, start + 6))


def test_a_diverged_lane_is_the_same_alone() -> None:
    rates = np.array([0.01, 3e38])
    trainer = Trainer(2, compile=False)
    mixed = trainer.train(Block(Recipe("digits-mlp", "adam", steps=40), 0, {"lr": rates}))
    assert mixed.diverged_at[1] > 0
    assert np.isnan(mixed.metrics["train_loss"][1])
    assert np.isnan(mixed.metrics["validation_loss"][1])
    alone = trainer.train(Block(Recipe("digits-mlp", "adam", steps=40), 0, {"lr": rates[1:]}))
    assert_lanes_equal(alone, mixed, [1])


@pytest.mark.parametrize("optimizer", ["adam", "adahessian"])
def test_what_diverged_costs_no_more_turns(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven trials in programs of three lanes take four turns; the seven that go on take three, with the same bits."""
    rates = np.array([0.01, 3e38, 0.1, 3e38, 0.3, 1.0, 3e38, 1e-3, 2e-3, 3e38, 5e-2])
    trials = Block(Recipe("digits-mlp", optimizer, steps=40), 0, {"lr": rates})
    together = Trainer(11, compile=False).train(trials)
    assert (together.diverged_at > 0).sum() == 4
    steps, step = [0], ProgramRun.step

    def counted(run: ProgramRun, number: int, *given: Any) -> None:
        steps[0] += 1
        step(run, number, *given)

    monkeypatch.setattr(ProgramRun, "step", counted)
    in_turns = Trainer(3, compile=False).train(trials)
    assert_lanes_equal(in_turns, together, range(11))
    assert steps[0] == 2 * 4 + 38 * 3  # it is looked at after 2 steps


def test_time_is_that_of_those_who_were_training() -> None:
    rates = np.array([0.01, 3e38, 0.1])
    seconds = (
        Trainer(3, compile=False)
        .train(Block(Recipe("digits-mlp", "adam", steps=40), 0, {"lr": rates}))
        .seconds
    )
    assert seconds[0] == seconds[2] > 2 * seconds[1] > 0


def test_two_trainers_give_the_same_bits() -> None:
    assert_lanes_equal(
        Trainer(6, compile=False).train(block()), Trainer(6, compile=False).train(block()), range(6)
    )


def alone(trial: Block, lane: int) -> tuple[torch.Tensor, float]:
    """One lane trained by the torch class, an ordinary loop: weights' evaluation and the last losses' mean."""
    recipe = trial.recipe
    workload, cls = workload_named(recipe.workload), OPTIMIZERS[recipe.optimizer]
    initial, carry = workload.init(trial.seed)
    params = {key: value.double().requires_grad_() for key, value in initial.items()}
    settings = {name: float(values[lane]) for name, values in trial.hyperparameters.items()}
    optimizer = cls(params.values(), **settings, **dict(recipe.options))
    (group,) = optimizer.param_groups
    base_lr, decay = group["lr"], recipe.weight_decay
    batches, losses = workload.batches(trial.seed), []
    signs = random_signs(trial.seed, params)
    for rate in recipe.schedule.multipliers(recipe.steps):
        batch = to(next(batches), "float64", CPU)
        optimizer.zero_grad()
        loss, _ = workload.phases[0].loss(params, carry, batch, no_draws())
        group["lr"] = base_lr * float(rate)
        if isinstance(optimizer, AdaHessian):
            z = next(signs)
            grads = torch.autograd.grad(loss, params.values(), create_graph=True)
            products = torch.autograd.grad(grads, params.values(), z.values(), retain_graph=True)
            optimizer.set_hessian([h * sign for h, sign in zip(products, z.values(), strict=True)])
        loss.backward()
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(params.values(), recipe.clip_norm)
        with torch.no_grad():
            lr = decay.reference_lr * rate if decay.reference_lr else group["lr"]
            for weight in params.values():
                if decay.kind == "L2":
                    weight.grad += decay.value * weight
                else:
                    weight -= lr * decay.value * weight
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        (validation,) = workload.evaluation(trial.seed, "validation")
        sums, count = workload.evaluate(params, carry, to(validation, "float64", CPU))
    return sums["validation_loss"] / count, float(np.mean(losses[-2:]))


RECIPES: dict[str, dict[str, object]] = {
    "plain": {},
    "decay": {"weight_decay": WeightDecay(value=0.01)},
    "all": {
        "clip_norm": 0.5,
        "schedule": Schedule(name="cosine", warmup=5),
        "weight_decay": WeightDecay(value=0.05, kind="decoupled"),
    },
    "adjusted": {
        "schedule": Schedule(name="milestones", at=(0.5, 30)),
        "weight_decay": WeightDecay(value=0.05, kind="adjusted", reference_lr=0.1),
    },
}
OPTIONS: list[tuple[str, dict[str, object]]] = [
    *((name, {}) for name in OPTIMIZERS),
    ("sgd", {"nesterov": True}),
    ("adam", {"amsgrad": True}),
    ("adabelief", {"rectify": False, "amsgrad": True, "weight_decouple": False}),
    ("adabound", {"amsbound": True}),
    ("adashift", {"keep_num": 2, "op": "mean"}),
    ("apollo", {"rebound": "belief", "weight_decay_type": "stable"}),
    ("rmsprop", {"centered": True}),
]
CASES = [
    *((name, options, "plain", False) for name, options in OPTIONS),
    *((name, {}, "decay", False) for name in ("sgd", "adam", "avagrad", "apollo")),
    *(
        pytest.param(name, options, "decay", False, marks=pytest.mark.slow)
        for name, options in OPTIONS
        if options or name not in ("sgd", "adam", "avagrad", "apollo")
    ),
    *((name, {}, recipe, False) for name in ("sgd", "adabound", "apollo") for recipe in ("all", "adjusted")),
    ("adam", {}, "all", True),
    *(
        pytest.param(name, {}, recipe, True, marks=pytest.mark.slow)
        for name, recipe in [
            *((name, "plain") for name in ("adam", "avagrad", "apollo", "adahessian")),
            ("adam", "adjusted"),
        ]
    ),
]


@pytest.mark.parametrize(("optimizer", "options", "recipe", "compile"), CASES)
def test_a_lane_is_the_torch_class_alone(
    optimizer: str, options: dict[str, object], recipe: str, compile: bool
) -> None:
    given = tuple(sorted(options.items()))
    trial = block(optimizer=optimizer, options=given, dtype="float64", **RECIPES[recipe])
    outcome = Trainer(6, compile=compile).train(trial)
    first, *_, last = np.flatnonzero(outcome.diverged_at < 0)
    for lane in (first, last):
        loss, train_loss = alone(trial, lane)
        assert outcome.metrics["validation_loss"][lane] == pytest.approx(loss.item(), rel=1e-7)
        assert outcome.metrics["train_loss"][lane] == pytest.approx(train_loss, rel=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_update_is_the_update(optimizer: str) -> None:
    """The rule alone, compiled, on three steps in float64: quicker than a whole program for each of them."""
    rule, source = OPTIMIZERS[optimizer].rule, torch.Generator().manual_seed(0)
    options = rule.settings({"keep_num": 2} if optimizer == "adashift" else {})[1]
    params = {
        name: torch.randn(2, *shape, generator=source).double()
        for name, shape in (("a", (5, 3)), ("b", (3,)))
    }
    start = rule.init({name: w[0] for name, w in params.items()}, options)
    state = pytree.tree_map(lambda t: t.expand(2, *t.shape).clone(), start)
    filled = rule.fill({"lr": np.array([0.01, 0.1])})
    hyperparameters = {
        name: torch.from_numpy(np.broadcast_to(v, 2).astype(float)) for name, v in filled.items()
    }
    hyperparameters["base_lr"] = hyperparameters["lr"]
    programs = Programs()

    def update(params: object, state: object, step: torch.Tensor) -> object:
        more = (params,) if rule.second_order else ()
        call = vmap(rule.update, in_dims=(0, 0, 0, 0, None, None, *(0 for _ in more)))
        new_params, new_state = call(params, state, params, hyperparameters, step, options, *more)
        return new_params, in_order(new_state, state)

    step = torch.ones((), dtype=torch.float64)
    compiled = programs.build(update, (params, state, step))
    assert programs.warning is None
    ours = theirs = (params, state)
    for count in (1.0, 2.0, 3.0):
        ours, theirs = compiled(*ours, step * count), update(*theirs, step * count)
        for one, other in zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    assert not torch.equal(ours[0]["a"], params["a"])


def test_an_own_rule_may_return_its_state_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer(6, compile=False).train(block())

    def update(*given: object) -> tuple[dict[str, object], dict[str, object]]:
        params, state = OPTIMIZERS["adam"].rule.update(*given)
        return dict(reversed(params.items())), dict(reversed(state.items()))

    swapped = dataclasses.replace(OPTIMIZERS["adam"].rule, update=update)
    monkeypatch.setattr("study.training.program_run.optimizer_named", lambda _: swapped)
    assert_lanes_equal(Trainer(6, compile=False).train(block()), plain, range(6))


def test_a_schedule_goes_on_during_apollos_warm_up() -> None:
    plain = Trainer(6, compile=False).train(block(optimizer="apollo"))
    halved = block(optimizer="apollo", schedule=Schedule(name="milestones", at=(1,), factor=0.5))
    assert (
        Trainer(6, compile=False).train(halved).metrics["train_loss"] != plain.metrics["train_loss"]
    ).all()


def test_cnn_lane_is_the_torch_class_alone() -> None:
    trial = block(workload="digits-cnn", dtype="float64")
    outcome = Trainer(6, compile=False).train(trial)
    assert outcome.metrics["validation_loss"][2] == pytest.approx(alone(trial, 2)[0].item(), rel=1e-8)


def test_divergence_is_data_and_stays_in_its_lane() -> None:
    rates = np.array([0.01, 1e30, 0.1])
    trainer = Trainer(3, compile=False)
    mixed = trainer.train(Block(Recipe("digits-mlp", "adam", steps=40), 0, {"lr": rates}))
    healthy = trainer.train(Block(Recipe("digits-mlp", "adam", steps=40), 0, {"lr": rates[[0, 2]]}))
    assert mixed.diverged_at[1] == 2  # the first update makes weights of 1e30, the second loss overflows
    assert mixed.metrics["validation_error"][1] == 1.0
    assert (mixed.curve[1] == 1.0).all()
    assert_lanes_equal(healthy, mixed, [0, 2])
    assert mixed.diverged_at[[0, 2]].tolist() == [-1, -1]


def test_infinite_weights_are_noticed_at_the_next_curve_point() -> None:
    """Weights of -inf behind a relu leave the loss finite, so the loss alone would not tell."""
    trial = Block(Recipe("digits-mlp", "adam", steps=1), 0, {"lr": np.array([0.01, 3e38])})
    outcome = Trainer(2, compile=False).train(trial)
    assert outcome.diverged_at.tolist() == [-1, 1]
    assert outcome.metrics["validation_error"][1] == 1.0


def test_a_block_that_diverged_entirely_keeps_its_curve() -> None:
    outcome = Trainer(2, compile=False).train(
        Block(Recipe("digits-mlp", "adam", steps=400), 0, {"lr": np.full(2, 1e30)})
    )
    assert outcome.curve.shape == (2, 20)
    assert (outcome.curve == 1.0).all()
    assert outcome.diverged_at.tolist() == [2, 2]


def test_the_curve_ends_with_the_final_metric_and_learns() -> None:
    outcome = Trainer(6, compile=False).train(block(steps=100))
    np.testing.assert_array_equal(outcome.curve[:, -1], outcome.metrics["validation_error"])
    assert outcome.curve[1, -1] < 0.15 < outcome.curve[1, 0]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(400, list(range(20, 401, 20))), (3, [1, 2, 3]), (1, [1]), (20, list(range(1, 21)))],
)
def test_curve_steps(steps: int, expected: list[int]) -> None:
    assert curve_steps(steps).tolist() == expected


def test_defaults_are_the_rules() -> None:
    trainer = Trainer(2, compile=False)
    implied = trainer.train(Block(Recipe("digits-mlp", "adam", steps=20), 0, {"lr": np.array([0.001, 0.01])}))
    given = {
        "lr": np.array([0.001, 0.01]),
        "beta1": np.full(2, 0.9),
        "beta2": np.full(2, 0.999),
        "eps": np.full(2, 1e-8),
    }
    assert_lanes_equal(
        implied, trainer.train(Block(Recipe("digits-mlp", "adam", steps=20), 0, given)), range(2)
    )


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"lr = -1\.0 is not allowed"):
        Trainer(4, compile=False).train(Block(Recipe("digits-mlp", "adam"), 0, {"lr": np.array([-1.0])}))


def test_an_unwritable_cache_does_not_stop_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nothing")
    outcome = Trainer(3).train(block([0, 1, 2]))
    assert outcome.warning is not None
    assert outcome.warning.startswith("training runs uncompiled")
    assert_lanes_equal(outcome, Trainer(3, compile=False).train(block([0, 1, 2])), range(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_on_a_gpu_it_is_nearly_the_same(compile: bool) -> None:
    trial = block(dtype="float64")
    there, here = Trainer(6, "cuda", compile=compile).train(trial), Trainer(6, compile=False).train(trial)
    np.testing.assert_allclose(there.metrics["validation_loss"], here.metrics["validation_loss"], rtol=1e-6)


def test_without_a_compiler_it_warns_and_trains(tmp_path: Path) -> None:
    script = (
        "import numpy as np; from study.training.block import Block, Recipe\n"
        "from study.training.trainer import Trainer\n"
        "block = Block(Recipe('digits-mlp', 'adam', steps=20), 0, {'lr': np.array([0.01, 0.1])})\n"
        "with_warning, eager = Trainer(2).train(block), Trainer(2, compile=False).train(block)\n"
        "assert (with_warning.curve == eager.curve).all()\n"
        "print(with_warning.warning)\n"
    )
    nothing = {"CXX": "no-such-compiler", "PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **nothing},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("training runs uncompiled, several times slower (InvalidCxxCompiler")
    assert line.endswith("install a C++ compiler, g++")
