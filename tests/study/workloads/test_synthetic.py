"""Functions whose minima are known."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from study.workloads import WORKLOADS, WorkloadError
from study.workloads.draws import no_draws
from study.workloads.synthetic import FunctionWorkload, quadratic_form


def made(name: str, **settings: Any) -> FunctionWorkload:
    workload = WORKLOADS[name](**settings)
    assert isinstance(workload, FunctionWorkload)
    return workload


def gradient(workload: FunctionWorkload, w: list[float], sample: Tensor | None = None) -> Tensor:
    at = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    workload.value(at, torch.zeros(1) if sample is None else sample).backward()
    assert at.grad is not None
    return at.grad


@pytest.mark.parametrize("w", [0.0, 0.2, 499 / 999, 1.0])
def test_equation_11_has_the_papers_gradient(w: float) -> None:
    workload = made("avagrad-equation-11")
    rare, frequent = (gradient(workload, [w], torch.tensor([s])).item() for s in (1.0, 0.0))
    assert (rare, frequent) == (pytest.approx(999 * w), -1)
    assert rare / 500 + frequent * 499 / 500 == pytest.approx((999 * w - 499) / 500)
    drawn = [float(sample) for (sample,) in itertools.islice(workload.batches(0), 50_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(1 / 500, rel=0.3)
    assert set(drawn) == {0.0, 1.0}


def test_equation_11_averages_the_true_gradient_where_steps_were_taken() -> None:
    workload = made("avagrad-equation-11")
    _, carry = workload.init(0)
    batch = next(workload.batches(0))
    places = [0.0, 1.0, 0.5, 0.7]
    for w in places:
        _, carry = workload.loss({"w": torch.tensor([w])}, carry, batch, no_draws())
    sums, count = workload.evaluate({"w": torch.tensor([499 / 999])}, carry, batch)
    expected = sum(((999 * w - 499) / 500) ** 2 for w in places) / 4
    assert count == 1
    assert sums["mean_squared_gradient"].item() == pytest.approx(expected, rel=1e-5)
    assert sums["squared_gradient"].item() == pytest.approx(0, abs=1e-10)
    # nowhere on [0, 1] is it more
    assert workload.worst == pytest.approx(max(((999 * w - 499) / 500) ** 2 for w in (0, 1)))


@pytest.mark.parametrize(
    ("name", "start", "minimum", "at_start"),
    [
        ("rastrigin", (-2.0, 3.5), (0.0, 0.0), 20 + 4 - 10 + 12.25 + 10),
        ("rosenbrock", (-2.0, 2.0), (1.0, 1.0), 9 + 100 * 4),
    ],
)
def test_starts_and_minima_are_adals(
    name: str, start: tuple[float, ...], minimum: tuple[float, ...], at_start: float
) -> None:
    workload = made(name)
    params, carry = workload.init(0)
    assert params["w"].tolist() == list(start)
    sums, _ = workload.evaluate(params, carry, (torch.zeros(1),))
    assert sums["validation_loss"].item() == pytest.approx(at_start)
    assert sums["squared_distance"].item() == pytest.approx(math.dist(start, minimum) ** 2) == workload.worst
    assert gradient(workload, list(minimum)).abs().max().item() == pytest.approx(0, abs=1e-12)
    best, _ = workload.evaluate({"w": torch.tensor(minimum)}, carry, (torch.zeros(1),))
    assert best["validation_loss"].item() == best["squared_distance"].item() == 0


@pytest.mark.parametrize("rotation", [0.0, 20.0, 45.0])
@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_quadratic_has_the_condition_and_rotation_that_are_asked_for(
    dimensions: int, rotation: float
) -> None:
    form = quadratic_form(dimensions, 1000, rotation)
    values, vectors = torch.linalg.eigh(form)
    torch.testing.assert_close(values.log10(), torch.linspace(-3, 0, dimensions, dtype=torch.float64))
    steepest = vectors[:, -1]
    angle = math.degrees(math.atan2(abs(steepest[-1].item()), abs(steepest[0].item())))
    assert angle == pytest.approx(rotation, abs=1e-6)


def test_the_quadratics_noise_is_of_its_gradient() -> None:
    workload = made("noisy-quadratic", dimensions=3, condition=10, rotation=30, noise=0.5)
    w = [1.0, -2.0, 0.5]
    exact = quadratic_form(3, 10, 30) @ torch.tensor(w, dtype=torch.float64)
    samples = [sample for (sample,) in itertools.islice(workload.batches(0), 2000)]
    torch.testing.assert_close(gradient(workload, w, samples[0]) - exact, samples[0].double())
    drawn = torch.stack(samples)
    assert drawn.std().item() == pytest.approx(0.5, rel=0.05)
    assert drawn.mean(0).abs().max() < 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimensions": 0}, "dimensions = 0 is not allowed"),
        ({"dimensions": 2.0}, "dimensions = 2.0 is not allowed"),
        ({"condition": 0.5}, "condition = 0.5 is not allowed: give a number of at least 1"),
        ({"noise": -1}, "noise = -1 is not allowed"),
        ({"rotation": "45"}, "rotation = '45' is not allowed: give degrees"),
    ],
)
def test_what_makes_no_quadratic_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        made("noisy-quadratic", **settings)


def test_settings_are_part_of_the_hash() -> None:
    hashes = {made("noisy-quadratic", condition=each).data_hash() for each in (10, 10, 100)}
    assert len(hashes) == 2
