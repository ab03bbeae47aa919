"""Recurrent layers step by step against torch's own."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from study.training.recurrent import RECURRENT, lstm

KINDS = {
    "lstm": (nn.LSTM, torch.lstm, {}),
    "gru": (nn.GRU, torch.gru, {}),
    "tanh": (nn.RNN, torch.rnn_tanh, {"nonlinearity": "tanh"}),
    "relu": (nn.RNN, torch.rnn_relu, {"nonlinearity": "relu"}),
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def arguments(layer: nn.RNNBase, x: torch.Tensor) -> tuple[Any, ...]:
    """What torch's function is called with: states that are not zero among them."""
    directions = 2 if layer.bidirectional else 1
    batch = x.shape[0 if layer.batch_first else 1]
    shape = (layer.num_layers * directions, batch, layer.hidden_size)
    state: Any = torch.randn(shape, dtype=x.dtype)
    if isinstance(layer, nn.LSTM):
        state = (state, torch.randn(shape, dtype=x.dtype))
    last = (
        layer.bias,
        layer.num_layers,
        layer.dropout,
        layer.training,
        layer.bidirectional,
        layer.batch_first,
    )
    return x, state, layer._flat_weights, *last


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("count", "bidirectional"), [(1, False), (2, True)])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_gradients_equal_torchs(
    kind: str, count: int, bidirectional: bool, batch_first: bool, bias: bool
) -> None:
    make, function, further = KINDS[kind]
    layer = make(
        3, 4, count, bias=bias, batch_first=batch_first, bidirectional=bidirectional, **further
    ).double()
    given = arguments(layer, torch.randn(5, 6, 3, dtype=torch.float64))
    results = []
    for run in (function, RECURRENT[function]):
        outputs = run(*given)
        gradients = torch.autograd.grad(sum(o.square().sum() for o in outputs), list(layer.parameters()))
        results.append((*outputs, *gradients))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_dropout_is_between_layers_and_only_while_training() -> None:
    layer = nn.LSTM(3, 4, 2, dropout=0.999999).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    given = arguments(layer, x)
    dropped = RECURRENT[torch.lstm](*given)[0]
    again = RECURRENT[torch.lstm](x + 1, *given[1:])[0]
    torch.testing.assert_close(dropped, again)  # the second layer sees nothing of the input
    layer.eval()
    given = arguments(layer, x)
    torch.testing.assert_close(RECURRENT[torch.lstm](*given)[0], torch.lstm(*given)[0])


def test_projections_and_packed_sequences_are_left_to_torch() -> None:
    layer = nn.LSTM(3, 4, proj_size=2)
    assert lstm(torch.zeros(5, 6, 3), (), layer._flat_weights, True, 1, 0.0, True, False, False) is None
    lengths, states = torch.ones(5), (torch.zeros(1), torch.zeros(1))
    assert lstm(torch.zeros(5, 3), lengths, states, layer._flat_weights, True) is None
    assert RECURRENT[torch.gru](torch.zeros(5, 3), lengths, torch.zeros(1), [], True) is None
