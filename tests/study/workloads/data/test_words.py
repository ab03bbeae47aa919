"""Texts as words, from Python's help topics and from files."""

from pathlib import Path

import pytest

from study.workloads import WorkloadError
from study.workloads.data.words import words


def test_topics_are_split_into_words_and_signs() -> None:
    text = words("topics", 3)
    counts = text.train.bincount(minlength=text.symbols)
    assert text.symbols == len(counts)
    # numbered from the most frequent, unknown words among them
    assert (counts[:-1] >= counts[1:]).all()
    assert 0.08 < len(text.validation) / len(text.train) < 0.13
    assert words("topics", 1).symbols > text.symbols


def billion(folder: Path) -> Path:
    training, held_out = (
        folder / f"{part}-monolingual.tokenized.shuffled" for part in ("training", "heldout")
    )
    for place in (training, held_out):
        place.mkdir()
    (training / "news.en-00001-of-00100").write_text("the cat sat\nthe dog\n", encoding="utf-8")
    (training / "news.en-00002-of-00100").write_text("the cat\n", encoding="utf-8")
    (held_out / "news.en.heldout-00000-of-00050").write_text("the test\n", encoding="utf-8")
    (held_out / "news.en.heldout-00001-of-00050").write_text("a cat\n\n", encoding="utf-8")
    return folder


def test_one_billion_words_files_are_read(tmp_path: Path) -> None:
    text = words(str(billion(tmp_path)), 2)
    # </S> and "the" 3 times, then the unknown "dog" and "sat" as often as "cat"
    assert text.train.tolist() == [1, 3, 2, 0, 1, 2, 0, 1, 3, 0]
    assert text.validation.tolist() == [2, 3, 0]
    assert text.test is not None
    assert text.test.tolist() == [1, 2, 0]
    assert text.symbols == 4


def test_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("b a\nb\n", encoding="utf-8")
    (tmp_path / "valid.txt").write_text("a c\n", encoding="utf-8")
    text = words(str(tmp_path), 1)
    # </S>, b, then <UNK>, which comes once where nothing is unknown, and a
    assert text.train.tolist() == [1, 3, 0, 1, 0]
    assert text.validation.tolist() == [3, 2, 0]
    assert text.test is None


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        words.cache_clear()
        with pytest.raises(WorkloadError, match=message) as caught:
            words(str(tmp_path), 1)
        assert "expected is One Billion Words: training-monolingual.tokenized.shuffled/news.en-" in str(
            caught.value
        )
        assert "\n" not in str(caught.value)

    refused("holds no text that is known")
    (tmp_path / "train.txt").write_text("a b\n", encoding="utf-8")
    refused("valid.txt is missing")
    (tmp_path / "valid.txt").write_text("\n", encoding="utf-8")
    refused("it is empty")
    (tmp_path / "valid.txt").write_bytes(b"\xff")
    refused("valid.txt cannot be read")
    billion(tmp_path)
    (tmp_path / "heldout-monolingual.tokenized.shuffled" / "news.en.heldout-00000-of-00050").unlink()
    refused("lacks files of One Billion Words")
