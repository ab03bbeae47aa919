"""The Transformer is torch's, layer by layer, and beam search finds what trying everything finds."""

import itertools

import pytest
import torch
from torch import nn

from study.workloads import WorkloadError
from study.workloads.networks.beam import beam_search, penalty
from study.workloads.networks.transformer import Transformer, sinusoids

NAMES = {
    "attention.output": "self_attn.out_proj",
    "cross.output": "multihead_attn.out_proj",
    "feed_forward.inner": "linear1",
    "feed_forward.outer": "linear2",
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm3",
}
"""Of a layer's parts -> torch's."""


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_base_has_as_many_weights_as_torchs() -> None:
    """But for the two norms after all layers, which the paper has not; and the embeddings of 37,000 tokens."""
    with torch.device("meta"):
        ours = Transformer(37_000, 10, 6, 512, 8, 2048)
        theirs = nn.Transformer(512, 8, 6, 6, 2048, batch_first=True)
    assert weights(ours) - weights(ours.embedding) == weights(theirs) - 4 * 512 == 44_138_496
    assert weights(ours) == 63_082_496


def test_outputs_are_those_of_torchs_layers() -> None:
    torch.manual_seed(0)
    ours = Transformer(11, 6, 2, 8, 2, 16).double().eval()
    theirs = nn.Transformer(8, 2, 2, 2, 16, batch_first=True).double().eval()
    for side, layers in (("encoder", ours.encoder), ("decoder", ours.decoder)):
        for layer, other in zip(layers, getattr(theirs, side).layers, strict=True):
            for name in NAMES.keys() & dict(layer.named_modules()).keys():
                other.get_submodule(NAMES[name]).load_state_dict(layer.get_submodule(name).state_dict())
            for name, torchs in (("attention", "self_attn"), ("cross", "multihead_attn")):
                if hasattr(layer, name):
                    parts = [getattr(getattr(layer, name), part) for part in ("query", "key", "value")]
                    attention = other.get_submodule(torchs)
                    attention.in_proj_weight.data = torch.cat([part.weight for part in parts])
                    attention.in_proj_bias.data = torch.cat([part.bias for part in parts])
    source = torch.tensor([[4, 5, 6, 7, 0, 0], [4, 9, 9, 3, 8, 2]])
    target = torch.tensor([[1, 4, 5], [1, 8, 3]])
    ignored = source == 0
    x, y = ours._embed(source), ours._embed(target)
    for layer in theirs.encoder.layers:
        x = layer(x, src_key_padding_mask=ignored)
    later = torch.ones(3, 3).triu(1).bool()
    for layer in theirs.decoder.layers:
        y = layer(y, x, tgt_mask=later, memory_key_padding_mask=ignored)
    torch.testing.assert_close(ours(source, target), y @ ours.embedding.weight.T)


def test_places_are_the_papers() -> None:
    table = sinusoids(5, 6)
    assert table[3, 4].item() == pytest.approx(torch.sin(torch.tensor(3 / 10000 ** (4 / 6))).item())
    assert table[3, 5].item() == pytest.approx(torch.cos(torch.tensor(3 / 10000 ** (4 / 6))).item())


def test_a_wide_beam_finds_the_best_of_all_targets() -> None:
    torch.manual_seed(1)
    model, longest, end = Transformer(5, 4, 1, 8, 2, 8).double().eval(), 3, 2
    source = torch.tensor([[3, 4, 2, 0], [4, 4, 3, 2]])
    found = beam_search(model, source, 1, end, longest, beam=5**longest)

    def score(one: torch.Tensor, tokens: tuple[int, ...]) -> float:
        target = torch.tensor([[1, *tokens]])
        steps = model(one[None], target)[0].log_softmax(-1)
        total = sum(steps[i, token].item() for i, token in enumerate(tokens))
        return total / penalty(torch.tensor(len(tokens)), 0.6).item()

    every = [
        tokens
        for n in range(1, longest + 1)
        for tokens in itertools.product(range(5), repeat=n)
        if end not in tokens[:-1] and (tokens[-1] == end or n == longest)
    ]
    with torch.no_grad():
        for one, got in zip(source, found.tolist(), strict=True):
            best = max(every, key=lambda tokens: score(one, tokens))
            assert got == [*best, *[end] * (longest - len(best))]


def test_a_beam_of_one_takes_the_likeliest_token_each_time() -> None:
    torch.manual_seed(2)
    model = Transformer(9, 6, 1, 8, 2, 8).eval()
    source = torch.tensor([[3, 4, 5, 2], [7, 8, 2, 0]])
    (one, other) = beam_search(model, source, 1, 2, 5, beam=1)
    target = torch.full((2, 1), 1)
    for _ in range(5):
        target = torch.cat((target, model(source, target)[:, -1:].argmax(-1)), 1)
    for got, expected in ((one, target[0, 1:]), (other, target[1, 1:])):
        end = (expected == 2).nonzero()
        kept = int(end[0]) + 1 if len(end) else 5
        assert got[:kept].tolist() == expected[:kept].tolist()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(WorkloadError, match="width = 10 is not allowed with heads = 4"):
        Transformer(5, 4, 1, 10, 4, 8)
