"""Adaptive softmax is torch's, which looks at targets where ours scores everything."""

import pytest
import torch
from torch import nn

from study.workloads import WorkloadError
from study.workloads.networks.adaptive_softmax import AdaptiveSoftmax
from study.workloads.networks.lstm import LanguageLSTM


def test_it_is_torchs() -> None:
    ours = AdaptiveSoftmax(64, 30, [5, 12, 20]).double()
    theirs = nn.AdaptiveLogSoftmaxWithLoss(64, 30, [5, 12, 20], div_value=4).double()
    theirs.load_state_dict({name.replace("tails", "tail"): w for name, w in ours.state_dict().items()})
    x, targets = torch.randn(40, 64, dtype=torch.float64), torch.arange(40) % 30
    got = ours(x)
    torch.testing.assert_close(got, theirs.log_prob(x))
    torch.testing.assert_close(got.gather(1, targets[:, None])[:, 0], theirs(x, targets).output)
    torch.testing.assert_close(got.exp().sum(1), torch.ones(40, dtype=torch.float64))


def test_one_billion_words_has_the_weights_of_its_layers() -> None:
    words, cutoffs = 793_471, (60_000, 100_000, 640_000)
    with torch.device("meta"):
        softmax = AdaptiveSoftmax(2048, words, cutoffs)
        model = LanguageLSTM(words, 300, 2048, 2, 128, output=softmax)
    clusters = 512 * (2048 + 40_000) + 128 * (2048 + 540_000) + 32 * (2048 + 153_471)
    lstm = 4 * 2048 * (300 + 2048 + 2) + 4 * 2048 * (2048 + 2048 + 2)
    expected = 300 * words + lstm + 2048 * (60_000 + 3) + clusters
    assert sum(w.numel() for w in model.parameters()) == expected == 509_636_788


@pytest.mark.parametrize("cutoffs", [(), (5, 5), (9, 4), (0, 4), (5, 30), (5.0,)])
def test_cutoffs_that_do_not_rise_below_the_words_are_refused(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(WorkloadError, match=r"is not allowed for 30 words: give rising numbers below that"):
        AdaptiveSoftmax(16, 30, cutoffs)
