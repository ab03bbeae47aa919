"""Parallel texts, the workload that translates, and BLEU."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from study.workloads import WORKLOADS, WorkloadError
from study.workloads.data.parallel_text import parallel_text
from study.workloads.translation import TranslationWorkload, bleu, cross_entropy, token_error


def test_the_generated_task_is_reversed_and_relabelled() -> None:
    text = parallel_text("reversal", "en", "de", 100, 1)
    pairs = [(text.text(a).split(), text.text(b).split()) for a, b in zip(*text.train, strict=True)]
    exchanged = {a: b for source, target in pairs for a, b in zip(source, reversed(target), strict=True)}
    assert len(exchanged) == len(set(exchanged.values())) == 16
    assert all([exchanged[a] for a in reversed(source)] == target for source, target in pairs)
    assert len(text.train[0]) == 4000
    assert {len(source) for source, _ in pairs} == set(range(3, 9))


def write(folder: Path) -> Path:
    lines = {
        "train.en": "the cat\nthe dog\na very long sentence indeed\n\n",
        "train.de": "die Katze\nder Hund\nein langer Satz\n\n",
        "valid.en": "the bird\n",
        "valid.de": "der Vogel\n",
    }
    for name, text in lines.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_two_files_a_split_are_read(tmp_path: Path) -> None:
    text = parallel_text(str(write(tmp_path)), "en", "de", 4, 1)
    # the most frequent first, then in alphabetical order; the long sentence is left out
    assert text.vocabulary == (
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
        "the",
        "Hund",
        "Katze",
        "cat",
        "der",
        "die",
        "dog",
    )
    assert text.train[0].tolist() == [[4, 7, 2], [4, 10, 2]]
    assert text.train[1].tolist() == [[9, 6, 2], [8, 5, 2]]
    assert text.text(text.validation[1][0]) == "der <unk>"
    assert text.test is None
    rare = parallel_text(str(tmp_path), "en", "de", 4, 2)
    assert rare.vocabulary[4:] == ("the",)
    assert rare.sha256 != text.sha256


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    def refused(message: str, longest: int = 100) -> None:
        parallel_text.cache_clear()
        with pytest.raises(WorkloadError, match=message) as caught:
            parallel_text(str(tmp_path), "en", "de", longest, 1)
        assert "\n" not in str(caught.value)

    refused("train.en is missing: expected is two files a split, train.SOURCE and train.TARGET")
    write(tmp_path)
    refused("longest = 1 leaves no pair", longest=1)
    (tmp_path / "valid.de").write_text("eins\nzwei\n", encoding="utf-8")
    refused("valid has 1 lines of en and 2 of de: expected is two files a split")
    (tmp_path / "valid.de").write_bytes(b"\xff")
    refused("valid.de cannot be read")
    (tmp_path / "valid.de").write_text("\n", encoding="utf-8")
    refused("valid.en is empty")


def test_losses_are_means_over_tokens_that_are_not_padding() -> None:
    scores = torch.randn(2, 3, 5)
    targets = torch.tensor([[3, 2, 0], [4, 4, 2]])
    real = targets != 0
    log = scores.log_softmax(-1)
    expected = -(0.9 * log[real].gather(1, targets[real][:, None])[:, 0] + 0.1 * log[real].mean(1)).mean()
    torch.testing.assert_close(cross_entropy(scores, targets, 0.1), expected)
    torch.testing.assert_close(cross_entropy(scores, targets), F.cross_entropy(scores[real], targets[real]))
    right = F.one_hot(targets, 5).float()
    right[0, 0] = torch.tensor([0, 0, 1.0, 0, 0])
    right[0, 2] = torch.tensor([0, 0, 1.0, 0, 0])
    assert token_error(right, targets).item() == pytest.approx(1 / 5)


@pytest.mark.slow
def test_a_trained_model_translates_and_bleu_says_how_well() -> None:
    pytest.importorskip("sacrebleu")
    workload = WORKLOADS["transformer"](layers=1, width=16, heads=2, inner=16, longest=8)
    assert isinstance(workload, TranslationWorkload)
    module = workload.module(0).train()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    batches = workload.batches(0)
    scores = []
    for steps in (20, 300):
        for _ in range(steps):
            source, before, target = next(batches)
            optimizer.zero_grad()
            cross_entropy(module(source, before), target, 0.1).backward()
            optimizer.step()
        params = {name: w.detach() for name, w in module.named_parameters()}
        scores.append(workload.bleu(params, beam=2))
    assert scores[0] < 20 < 60 < scores[1]


def test_bleu_is_sacrebleus_of_tokens() -> None:
    pytest.importorskip("sacrebleu")
    assert bleu(["a b c d e"], ["a b c d e"]) == pytest.approx(100)
    # of one word wrong; no 4-gram of two is right, which counts as half of one
    expected = 100 * (4 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25
    assert bleu(["a b c x e"], ["a b c d e"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": 1}, "smoothing = 1 is not allowed"),
        ({"layers": 0}, "layers = 0 is not allowed"),
        ({"heads": 3}, "width = 32 is not allowed with heads = 3"),
        (
            {"data": "nowhere"},
            "'nowhere' is no folder: give one by its absolute path or below --data-dir, or reversal",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        WORKLOADS["transformer"](**settings)
