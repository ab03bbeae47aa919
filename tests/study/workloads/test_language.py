"""Texts read in order, and language models of them."""

import itertools
import math
import pydoc_data.topics
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from study.workloads import WORKLOADS, WorkloadError
from study.workloads.data.characters import characters
from study.workloads.draws import seeded
from study.workloads.language import TextWorkload, bits, cut, streams
from study.workloads.networks.lstm import LanguageLSTM


def test_topics_are_pythons() -> None:
    text = characters("topics")
    written = "\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    order = sorted(set(written))
    assert text.symbols == len(order)
    assert "".join(order[i] for i in torch.cat([text.train, text.validation]).tolist()) == written
    assert len(text.validation) == pytest.approx(0.02 * len(written), abs=1)


def write(folder: Path, prefix: str = "") -> Path:
    for name, text in (("train", "a b _ a\n" * 30), ("valid", "b a\n" * 5), ("test", "a _ <unk> b\n" * 5)):
        (folder / f"{prefix}{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("prefix", ["", "ptb.char."])
def test_penn_treebanks_files_are_read(prefix: str, tmp_path: Path) -> None:
    text = characters(str(write(tmp_path, prefix)))
    # in order of <eos>, <unk>, _, a, b
    assert text.symbols == 5
    assert text.train[:6].tolist() == [3, 4, 2, 3, 0, 3]
    assert text.validation.tolist() == [4, 3, 0] * 5
    assert text.test is not None
    assert text.test[:5].tolist() == [3, 2, 1, 4, 0]


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        characters.cache_clear()
        with pytest.raises(WorkloadError, match=message) as caught:
            characters(str(tmp_path))
        assert "expected is Penn Treebank by characters: train.txt, valid.txt" in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("holds no text that is known")
    write(tmp_path)
    (tmp_path / "valid.txt").write_text("no single characters\n", encoding="utf-8")
    refused("'no' is no single character")
    (tmp_path / "valid.txt").write_text("", encoding="utf-8")
    refused("it is empty")
    (tmp_path / "valid.txt").write_bytes(b"\xff")
    refused("valid.txt cannot be read")
    (tmp_path / "test.txt").unlink()
    (tmp_path / "valid.txt").write_text("a\n", encoding="utf-8")
    refused("test.txt is missing")


def test_streams_go_on_from_step_to_step() -> None:
    steps = streams(torch.arange(26), batch=2, length=4, offset=5)
    assert len(steps) == 3
    inputs, targets = (torch.cat(parts, 1) for parts in zip(*steps, strict=True))
    assert inputs[0].tolist() == list(range(5, 17))
    assert inputs[1].tolist() == [*range(17, 26), 0, 1, 2]
    assert targets.tolist() == ((inputs + 1) % 26).tolist()


def test_each_symbol_is_evaluated_once_with_others_before_it() -> None:
    inputs, targets = cut(torch.arange(20), 3)
    assert inputs[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert targets[0].tolist() == [4, 5, 6]
    assert targets.flatten().tolist() == list(range(4, 4 + targets.numel()))
    assert torch.equal(inputs[:, 3:] + 1, targets)


def test_a_seed_decides_where_the_text_begins(tmp_path: Path) -> None:
    workload = WORKLOADS["char-lstm"](length=5, batch=4)
    assert isinstance(workload, TextWorkload)
    text = characters("topics").train
    one, two = (
        torch.cat([x for x, _ in itertools.islice(workload.batches(s), 3)], 1).flatten() for s in (1, 2)
    )
    assert not torch.equal(one, two)
    windows = text.unfold(0, 15, 1)
    assert (windows == one[:15]).all(1).any()


def test_without_dropping_it_is_torchs_lstm_whose_state_goes_on() -> None:
    torch.manual_seed(0)
    ours, theirs = LanguageLSTM(7, 3, 4, 2, batch=5).train(), nn.LSTM(3, 4, 2, batch_first=True)
    for i, layer in enumerate(ours.layers):
        for name, weight in layer.named_parameters():
            theirs.get_parameter(name.replace("l0", f"l{i}")).data.copy_(weight)
    text = torch.randint(7, (5, 12))
    got = torch.cat([ours(text[:, :6]), ours(text[:, 6:])], 1)
    torch.testing.assert_close(got, ours.output(theirs(ours.embedding(text))[0]))
    # evaluated, it begins anew, with any number of sequences
    torch.testing.assert_close(ours.eval()(text[:2, :6]), got[:2, :6])


def test_masks_stay_the_same_over_time() -> None:
    model = LanguageLSTM(7, 3, 50, 1, batch=4, dropout=0.5).train()
    seen: list[torch.Tensor] = []
    model.output.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    with seeded(0, 1).intercepted():
        model(torch.randint(7, (4, 6)))
    zero = seen[0] == 0
    assert 0.3 < zero.float().mean().item() < 0.7
    assert torch.equal(zero, zero[:, :1].expand_as(zero))


def test_weights_are_dropped_in_training_alone() -> None:
    model = LanguageLSTM(7, 3, 8, 1, batch=2, weight_drop=0.5)
    text = torch.randint(7, (2, 6))

    def scores(seed: int) -> torch.Tensor:
        model.h, model.c = (torch.zeros(1, 2, 8) for _ in range(2))
        with seeded(seed, 1).intercepted():
            return model(text)

    model.train()
    assert torch.equal(scores(0), scores(0))
    assert not torch.equal(scores(0), scores(1))
    model.eval()
    assert torch.equal(scores(0), scores(1))


def test_bits_are_the_cross_entropys() -> None:
    scores, targets = torch.randn(3, 8, 5), torch.randint(5, (3, 4))
    expected = F.cross_entropy(scores[:, 4:].reshape(-1, 5), targets.reshape(-1)).item() / math.log(2)
    assert bits(scores, targets).item() == pytest.approx(expected)
    assert bits(torch.zeros(3, 8, 4), targets % 4).item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_drop": 1.0}, "weight_drop = 1.0 is not allowed"),
        ({"length": 0}, "length = 0 is not allowed"),
        ({"batch": 10**6}, "batch = 1000000 and length = 12 are more than the"),
        ({"length": 6000, "batch": 1}, "length = 6000 is too long"),
        (
            {"data": "nowhere"},
            "'nowhere' is no folder: give one by its absolute path or below --data-dir, or topics",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        WORKLOADS["char-lstm"](**settings)
