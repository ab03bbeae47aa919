"""One suite for every optimizer: against independent references, and as a well-behaved torch optimizer."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import pytorch_optimizer
import torch
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from study.optimizers import (
    OPTIMIZERS,
    AdaBelief,
    AdaBound,
    AdaHessian,
    AdaL,
    Adam,
    AdaShift,
    Apollo,
    AvaGrad,
    AvaGradOfficial,
    AvaGradW,
    DelayedAdam,
    DynamicEpsAdam,
    NosAdam,
    RuleOptimizer,
)

SHAPES = ((3, 4), (5,), (2, 2, 3))
STEPS = 30
CLASSES = list(OPTIMIZERS.values())
PAIR = {"beta1", "beta2"}


def parameters(seed: int = 0) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=source, dtype=torch.float64).requires_grad_() for s in SHAPES]


def gradients(steps: int = STEPS) -> Iterator[list[Tensor]]:
    """Gradients of very different sizes, some entries always zero, as dead inputs give."""
    source = torch.Generator().manual_seed(1)
    for _ in range(steps):
        grads = [torch.randn(s, generator=source, dtype=torch.float64) for s in SHAPES]
        grads[0][0] *= 1e-4
        grads[1][:2] = 0
        yield grads


def train(optimizer: torch.optim.Optimizer, params: list[Tensor], grads: Iterator[list[Tensor]]) -> Tensor:
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = grad.clone()
        advance(optimizer)
    return torch.cat([param.detach().flatten() for param in params])


def advance(optimizer: torch.optim.Optimizer) -> None:
    """One step, with some Hessian product for the rules that take one."""
    if isinstance(optimizer, AdaHessian):
        groups = optimizer.param_groups
        optimizer.set_hessian([p.detach() + 2.0 for group in groups for p in group["params"]])
    optimizer.step()


def run(make: Callable[..., torch.optim.Optimizer], **settings: object) -> Tensor:
    params = parameters()
    return train(make(params, **settings), params, gradients())


B = (0.5, 0.9)
TORCH: list[tuple[str, type[torch.optim.Optimizer], dict[str, object], dict[str, object]]] = [
    # ours, theirs, settings of both, settings of theirs alone
    *(
        ("sgd", torch.optim.SGD, settings, {})
        for settings in (
            {},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
            {"lr": 0.1, "momentum": 0.9, "nesterov": True},
            {"lr": 0.1, "dampening": 0.5},
        )
    ),
    *(
        ("adam", torch.optim.Adam, settings, {})
        for settings in (
            {},
            {"lr": 0.1, "betas": B, "eps": 1e-3},
            {"lr": 0.01, "weight_decay": 0.1},
            {"betas": (0.0, 0.99), "eps": 10.0},
            {"lr": 0.1, "betas": B, "amsgrad": True},
        )
    ),
    ("amsgrad", torch.optim.Adam, {}, {"amsgrad": True}),
    ("amsgrad", torch.optim.Adam, {"lr": 0.1, "betas": B, "weight_decay": 0.1}, {"amsgrad": True}),
    ("adamw", torch.optim.AdamW, {}, {}),
    ("adamw", torch.optim.AdamW, {"lr": 0.1, "betas": B, "weight_decay": 0.5, "amsgrad": True}, {}),
    *(
        ("radam", torch.optim.RAdam, settings, {})
        for settings in (
            {},
            {"lr": 0.1, "betas": B, "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "betas": (0.9, 0.7), "weight_decay": 0.1, "decoupled_weight_decay": True},
            {"lr": 0.1, "betas": (0.9, 0.5)},  # never rectified
        )
    ),
    ("adagrad", torch.optim.Adagrad, {}, {}),
    (
        "adagrad",
        torch.optim.Adagrad,
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3},
        {},
    ),
    ("rmsprop", torch.optim.RMSprop, {}, {}),
    ("rmsprop", torch.optim.RMSprop, {"alpha": 0.9, "weight_decay": 0.1, "momentum": 0.9, "eps": 1e-3}, {}),
    ("rmsprop", torch.optim.RMSprop, {"alpha": 0.9, "momentum": 0.5, "centered": True, "eps": 1e-3}, {}),
    ("adadelta", torch.optim.Adadelta, {}, {}),
    ("adadelta", torch.optim.Adadelta, {"lr": 0.1, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}, {}),
]
LIBRARY = [
    *(
        (
            "avagrad-official",
            pytorch_optimizer.AvaGrad,
            {"lr": 0.1, "eps": 0.1, **settings},
            {"weight_decouple": False},
        )
        for settings in (
            {},
            {"lr": 0.5, "eps": 1e-8},
            {"lr": 0.01, "betas": B, "eps": 1.0, "weight_decay": 0.1},
        )
    ),
    *(
        (
            "adabelief",
            pytorch_optimizer.AdaBelief,
            {
                "lr": 0.01,
                "betas": betas,
                "weight_decay": 0.1,
                "weight_decouple": decouple,
                "rectify": rectify,
            },
            {},
        )
        for betas in ((0.9, 0.999), (0.9, 0.8))
        for decouple in (False, True)
        for rectify in (False, True)
    ),
    ("adashift", pytorch_optimizer.AdaShift, {}, {}),
    (
        "adashift",
        pytorch_optimizer.AdaShift,
        {"lr": 0.1, "betas": B, "keep_num": 3, "eps": 1e-3, "op": "mean"},
        {"reduce_func": torch.mean},
    ),
    ("adashift", pytorch_optimizer.AdaShift, {"keep_num": 1, "op": "none"}, {"reduce_func": None}),
    *(
        (
            "apollo",
            pytorch_optimizer.ApolloDQN,
            {"lr": 0.1, "weight_decay": 0.1, "rebound": rebound, "weight_decay_type": kind},
            {"warmup_steps": 0, "weight_decay_type": kind.lower()},
        )
        for rebound in ("constant", "belief")
        for kind in ("L2", "decoupled", "stable")
    ),
    (
        "yogi",
        pytorch_optimizer.Yogi,
        {"betas": B, "weight_decay": 0.1, "initial_accumulator": 0.0},
        {"weight_decouple": False},
    ),
    ("padam", pytorch_optimizer.PAdam, {"amsgrad": False, "betas": B, "weight_decay": 0.1}, {}),
]
OURS_ALONE = {"op", "amsgrad"}


@pytest.mark.parametrize(("name", "theirs", "settings", "more"), TORCH + LIBRARY)
def test_equals_the_known_implementation(
    name: str,
    theirs: Callable[..., torch.optim.Optimizer],
    settings: dict[str, object],
    more: dict[str, object],
) -> None:
    own = {"warmup": 0} if name == "apollo" else {}
    shared = settings if theirs in (torch.optim.Adam, torch.optim.AdamW) else without(settings, *OURS_ALONE)
    torch.testing.assert_close(
        run(OPTIMIZERS[name], **settings, **own), run(theirs, **{**shared, **more}), rtol=0, atol=1e-10
    )


def without(settings: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in names}


@pytest.mark.parametrize(
    "settings", [{}, {"lr": 0.01, "betas": B, "eps": 1e-3, "weight_decay": 0.1, "hessian_power": 0.5}]
)
def test_adahessian_is_the_known_implementation(settings: dict[str, object]) -> None:
    """Not on a convolution: that library leaves the average over the kernel to what it is given."""
    settings = {"lr": 0.15, "eps": 1e-4, **settings}
    ours, theirs = parameters(), parameters()
    optimizers = AdaHessian(ours, **settings), pytorch_optimizer.AdaHessian(theirs, **settings)
    for step, product in zip(gradients(), list(gradients())[::-1], strict=True):
        for params, optimizer in zip((ours, theirs), optimizers, strict=True):
            for param, grad in zip(params, step, strict=True):
                param.grad = grad.clone()
            optimizer.step(hessian=[h.abs() for h in product])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_adahessian_averages_over_a_kernel() -> None:
    param = torch.zeros(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    param.grad = torch.ones_like(param)
    product = torch.arange(18.0, dtype=torch.float64).reshape_as(param)
    AdaHessian([param], lr=1.0, betas=(0.0, 0.0), eps=1e-30).step(hessian=[-product])
    expected = [-1 / product[i].mean().item() for i in range(2)]
    torch.testing.assert_close(param[:, 0, 0, 0], torch.tensor(expected, dtype=torch.float64))


def test_adahessian_needs_its_products() -> None:
    params = parameters()
    for param in params:
        param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match=r"call set_hessian, or step\(hessian=...\)"):
        AdaHessian(params).step()
    with pytest.raises(ValueError, match="other shapes than the 3 parameters"):
        AdaHessian(params).set_hessian([torch.ones(3)])


def test_the_two_avagrads_differ() -> None:
    assert (run(AvaGrad) - run(AvaGradOfficial)).abs().max() > 1e-3


@pytest.mark.parametrize("cls", CLASSES)
def test_state_dict_continues_identically(cls: type[RuleOptimizer]) -> None:
    undisturbed = run(cls)
    steps = list(gradients())
    first = parameters()
    before = cls(first)
    train(before, first, iter(steps[:11]))
    resumed = [param.detach().clone().requires_grad_() for param in first]
    after = cls(resumed, lr=123.0)
    after.load_state_dict(before.state_dict())
    assert torch.equal(train(after, resumed, iter(steps[11:])), undisturbed)


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_and_pickles(cls: type[RuleOptimizer]) -> None:
    optimizer = cls(parameters())
    assert type(pickle.loads(pickle.dumps(optimizer))) is cls
    assert copy.deepcopy(optimizer).state_dict() == optimizer.state_dict()


@pytest.mark.parametrize("cls", CLASSES)
def test_groups_are_separate_models(cls: type[RuleOptimizer]) -> None:
    together, alone = parameters(), parameters()
    grouped = cls([{"params": together[:1], "lr": 0.5}, {"params": together[1:], "lr": 0.3}])
    singles = [cls(alone[:1], lr=0.5), cls(alone[1:], lr=0.3)]
    for step in gradients():
        for params in (together, alone):
            for param, grad in zip(params, step, strict=True):
                param.grad = grad.clone()
        advance(grouped)
        for single in singles:
            advance(single)
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cls", CLASSES)
def test_closure_is_evaluated_with_gradients_on(cls: type[RuleOptimizer]) -> None:
    (param,) = parameters()[:1]
    optimizer = cls([param], lr=0.1)
    if isinstance(optimizer, AdaHessian):
        optimizer.set_hessian([torch.full_like(param, 2.0)])
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    for _ in range(20):
        losses.append(optimizer.step(closure).item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_parameter_that_joins_late_starts_at_its_own_first_step(cls: type[RuleOptimizer]) -> None:
    late, early = (torch.ones(3, dtype=torch.float64).requires_grad_() for _ in range(2))
    optimizer = cls([early, late])
    for count in range(6):
        early.grad = torch.ones_like(early)
        late.grad = torch.ones_like(late) if count >= 5 else None
        advance(optimizer)
    alone = torch.ones(3, dtype=torch.float64).requires_grad_()
    alone.grad = torch.ones_like(alone)
    advance(cls([alone]))
    assert torch.equal(late, alone)


@pytest.mark.parametrize("cls", CLASSES)
def test_scheduler_changes_the_learning_rate(cls: type[RuleOptimizer]) -> None:
    params = parameters()
    optimizer = cls(params, lr=0.1, **({"warmup": 0} if cls is Apollo else {}))
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1], gamma=0.0)
    steps = gradients(2)
    train(optimizer, params, iter([next(steps)]))
    scheduler.step()  # multiplies it by 0
    before = [param.detach().clone() for param in params]
    train(optimizer, params, iter([next(steps)]))
    assert all(torch.equal(old, new) for old, new in zip(before, params, strict=True))


@pytest.mark.parametrize("cls", CLASSES)
def test_bad_hyperparameters_are_refused(cls: type[RuleOptimizer]) -> None:
    for name, hyperparameter in cls.rule.hyperparameters.items():
        bad = [float("nan"), float("inf"), -1e-8, 10**400, "0.1", True]
        if name.startswith("beta") or name in ("rho", "momentum"):
            bad.append(1.0)
        if name == "eps":
            bad.append(0.0)
        for value in bad:
            given = (
                {"betas": (value, 0.9) if name == "beta1" else (0.9, value)}
                if name in PAIR
                else {name: value}
            )
            with pytest.raises(
                ValueError, match=f"^{name} = {re.escape(repr(value))} is not allowed: give a number"
            ):
                cls(parameters(), **given)
        assert hyperparameter.source
    for name, option in cls.rule.options.items():
        for value in (None, "nonsense", 0, -1, 1.0):
            with pytest.raises(ValueError, match=f"^{name} = {re.escape(repr(value))} is not allowed: give"):
                cls(parameters(), **{name: value})
        assert option.source
    if set(cls.rule.hyperparameters) >= PAIR:
        with pytest.raises(
            ValueError, match=r"betas = 0.9 is not allowed: give 2 numbers, e\.g\. \[0\.9, 0\.999\]"
        ):
            cls(parameters(), betas=0.9)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (AvaGrad, "lr betas eps weight_decay"),
        (AvaGradW, "lr betas eps weight_decay"),
        (Apollo, "lr beta eps sigma rebound warmup init_lr weight_decay weight_decay_type scale_eps"),
        (AdaBelief, "lr betas eps weight_decay weight_decouple rectify amsgrad"),
        (AdaBound, "lr betas final_lr gamma eps weight_decay amsbound"),
        (AdaShift, "lr betas eps keep_num op"),
        (NosAdam, "lr betas eps weight_decay gamma lr_decay"),
        (AdaHessian, "lr betas eps weight_decay hessian_power"),
        (AdaL, "lr betas eps weight_decay lr_decay"),
    ],
)
def test_arguments_come_in_the_order_of_papers_and_releases(cls: type[RuleOptimizer], arguments: str) -> None:
    assert list(inspect.signature(cls).parameters) == ["params", *arguments.split()]


@pytest.mark.parametrize("cls", CLASSES)
def test_nan_gradients_stay_in_their_lane(cls: type[RuleOptimizer]) -> None:
    rule, lanes, bad = cls.rule, 3, 1
    options = rule.settings({})[1]
    start = {str(i): param.detach() for i, param in enumerate(parameters())}
    params = {key: w.expand(lanes, *w.shape).clone() for key, w in start.items()}
    state = pytree.tree_map(lambda t: t.expand(lanes, *t.shape).clone(), rule.init(start, options))
    filled = {**rule.fill({}), "base_lr": rule.fill({})["lr"]}
    hyperparameters = {key: torch.full((lanes,), value).double() for key, value in filled.items()}
    for count, grads in enumerate(gradients(), 1):
        fused = {str(i): g.expand(lanes, *g.shape).clone() for i, g in enumerate(grads)}
        fused["0"][bad] = float("nan")
        more = (fused,) if rule.second_order else ()
        params, state = vmap(rule.update, in_dims=(0, 0, 0, 0, None, None, *(0 for _ in more)))(
            fused, state, params, hyperparameters, torch.tensor(float(count)).double(), options, *more
        )
    assert params["0"][bad].isnan().all()
    for w in params.values():
        assert w[[0, 2]].isfinite().all()
        assert torch.equal(w[0], w[2])


def equation_11(make: Callable[[list[Tensor]], torch.optim.Optimizer], rate: float) -> tuple[float, float]:
    """AvaGrad, equation (11), 10 runs as 10 entries: mean squared gradient of f over 100,000 steps, and final w."""
    steps, runs = 100_000, 10
    w = torch.zeros(runs, dtype=torch.float64, requires_grad=True)
    rare = torch.from_numpy(np.random.default_rng(0).random((steps, runs)) < 1 / 500)
    optimizer = make([w])
    squares = torch.zeros(runs, dtype=torch.float64)
    for t in range(1, steps + 1):
        with torch.no_grad():
            squares += ((999 * w - 499) / 500) ** 2
            w.grad = torch.where(rare[t - 1], 999 * w, -1.0)
        optimizer.param_groups[0]["lr"] = rate / t**0.5
        optimizer.step()
        with torch.no_grad():
            w.clamp_(0, 1)
    return (squares / steps).mean().item(), w.mean().item()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("make", "rate", "gradient", "final"),
    [
        pytest.param(lambda w: Adam(w, betas=(0.0, 0.99), eps=1e-8), 0.01, 0.96, 1.0, marks=pytest.mark.slow),
        (lambda w: DelayedAdam(w, betas=(0.0, 0.99), eps=1e-8, bias_correction=False), 0.01, 0.038, 0.497),
        pytest.param(
            lambda w: DynamicEpsAdam(w, betas=(0.0, 0.99), eps=1.0, bias_correction=False),
            *(0.003, 0.041, 0.502),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_adam_does_not_converge_where_its_delayed_and_dynamic_forms_do(
    make: Callable[[list[Tensor]], torch.optim.Optimizer], rate: float, gradient: float, final: float
) -> None:
    """AvaGrad, Figure 3; the stationary point is 499/999."""
    measured, w = equation_11(make, rate)
    assert measured == pytest.approx(gradient, rel=0.15)
    assert w == pytest.approx(final, abs=0.02)


@pytest.mark.parametrize("cls", CLASSES)
def test_gradients_written_in_place_do_not_reach_the_state(cls: type[RuleOptimizer]) -> None:
    """As `zero_grad(set_to_none=False)` and a backward pass do."""
    params = parameters()
    for param in params:
        param.grad = torch.empty_like(param)
    optimizer = cls(params)
    for step in gradients():
        for param, grad in zip(params, step, strict=True):
            param.grad.copy_(grad)
        advance(optimizer)
    assert torch.equal(torch.cat([param.detach().flatten() for param in params]), run(cls))


@pytest.mark.parametrize("cls", CLASSES)
def test_sparse_gradients_are_refused(cls: type[RuleOptimizer]) -> None:
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="dense real gradients only"):
        cls([param]).step()


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="momentum"):
        Adam(parameters(), momentum=0.9)
