"""Random numbers of training steps."""

import pytest
import torch
import torch.nn.functional as F

from study.workloads.draws import seeded


def test_attention_without_dropout_draws_nothing() -> None:
    """torch marks its fast kernels as random even so."""
    q, k, v = torch.randn(3, 2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    draws = seeded(0, 1)
    with draws.intercepted():
        intercepted = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(intercepted, F.scaled_dot_product_attention(q, k, v, is_causal=True))
    assert draws.sites == []


def test_random_operations_without_an_answer_are_refused() -> None:
    with seeded(0, 1).intercepted(), pytest.raises(TypeError, match="in a way that cannot be made to depend"):
        torch.ones(3).multinomial(1)
