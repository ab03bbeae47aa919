"""Random numbers of a step: decided by seed and step alone, and whatever torch draws is answered from them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from study.workloads.draws import ANSWERS, SIGNS, STEP, Draws, generator, given, made, no_draws, seeded


def test_seed_and_step_decide() -> None:
    def numbers(seed: int, step: int) -> list[float]:
        draws = seeded(seed, step)
        return [*draws.uniform(2).tolist(), *draws.normal(2).tolist()]

    assert numbers(1, 2) == numbers(1, 2)
    assert len({tuple(numbers(seed, step)) for seed in range(3) for step in range(3)}) == 9


def test_streams_differ_also_where_torchs_own_seeds_would_not() -> None:
    """torch's generator looks at the lower 32 bits of its seed only."""
    states = [generator(seed, stream).initial_seed() for seed in (0, 1, 2**32) for stream in (STEP, SIGNS)]
    assert len({state & (2**32 - 1) for state in states}) == 6


def test_what_is_made_ahead_is_what_would_be_drawn() -> None:
    def step(draws: Draws) -> list[Tensor]:
        return [draws.uniform(3), draws.normal(2, 2), draws.integers(5, 9, 4)]

    now = step(draws := seeded(4, 7))
    (ahead,) = made([draws.sites], 4, 7)
    assert all(torch.equal(one, other) for one, other in zip(now, step(given(ahead)), strict=True))


def test_integers_are_in_their_range() -> None:
    values = seeded(0, 1).integers(-2, 3, 10_000)
    assert values.dtype == torch.int64
    assert torch.bincount(values + 2).tolist() == pytest.approx([2000] * 5, rel=0.1)


OPERATIONS = {
    "dropout": lambda: F.dropout(torch.ones(1000), 0.25),
    "dropout of channels": lambda: F.dropout2d(torch.ones(10, 1000, 2, 2), 0.25)[..., 0, 0],
    "bernoulli": lambda: torch.bernoulli(torch.full((1000,), 0.75)) * 4 / 3,
    "rand": lambda: torch.rand(1000) * 2,
    "rand_like": lambda: torch.rand_like(torch.ones(1000)) * 2,
    "uniform_": lambda: torch.empty(1000).uniform_(0.5, 1.5),
    "randn": lambda: torch.randn(1000) + 1,
    "randn_like": lambda: torch.randn_like(torch.ones(1000)) + 1,
    "normal_": lambda: torch.empty(1000).normal_(1, 0.1),
    "exponential_": lambda: torch.empty(1000).exponential_(1.0),
    "randint": lambda: torch.randint(3, (1000,)).float(),
    "randint from": lambda: torch.randint(-1, 4, (1000,)).float(),
    "randperm": lambda: torch.randperm(3).float(),
}
"""Each with mean 1."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_torchs_random_operations_are_answered(name: str) -> None:
    torch.manual_seed(0)

    def drawn(seed: int) -> Tensor:
        with seeded(seed, 1).intercepted():
            return OPERATIONS[name]()

    before = torch.get_rng_state()
    first, again, other = drawn(0), drawn(0), drawn(3)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.mean().item() == pytest.approx(1, abs=0.12)


def test_every_answer_is_of_a_random_operation() -> None:
    assert all(torch.Tag.nondeterministic_seeded in operation.tags for operation in ANSWERS)


def test_what_cannot_be_answered_is_refused() -> None:
    with (
        seeded(0, 1).intercepted(),
        pytest.raises(TypeError, match=r"multinomial.* cannot be made to depend"),
    ):
        torch.multinomial(torch.ones(3), 2)
    with pytest.raises(TypeError, match="asks for uniform random numbers where none are drawn"):
        no_draws().uniform(1)
