"""Result folders as Ray Tune writes them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import StoreError
from storage.foreign import ForeignFailure
from storage.foreign_ray import read_ray


def write_trial(
    folder: Path, number: int, config: dict[str, Any], *, done: bool = True, error: bool = False
) -> None:
    path = folder / f"train_{number:05d}"
    path.mkdir(parents=True)
    (path / "params.json").write_text(json.dumps(config))
    lines = [
        {
            "loss": number + 1 / step,
            "training_iteration": step,
            "time_total_s": 0.5 * step,
            "timestamp": 1_700_000_000 + 10 * number + step,
            "done": done and step == 3,
        }
        for step in (1, 2, 3)
    ]
    (path / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if error:
        (path / "error.txt").write_text("Traceback\nRuntimeError: out of memory\n")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    for number in range(4):
        config = {
            "optimizer": {"lr": 0.1 * (number + 1), "name": "adam"},
            "wd": 2.0**number,
            "steps": 10,
            "seed": number % 2,
        }
        write_trial(tmp_path, number, config)
    write_trial(tmp_path, 4, {}, error=True)
    write_trial(tmp_path, 6, {"optimizer": {"lr": 0.2}, "wd": 8.0, "seed": 1}, error=True)
    write_trial(tmp_path, 5, {}, done=False)
    (tmp_path / "tuner.pkl").write_bytes(b"")
    return tmp_path


def test_finished_trials_with_what_varies(experiment: Path) -> None:
    trials = read_ray(experiment, "loss", seed="seed")
    assert trials.axes == ("optimizer_lr", "wd")
    np.testing.assert_allclose(trials.points, [[0.1, 1], [0.2, 2], [0.3, 4], [0.4, 8]])
    np.testing.assert_allclose(trials.values, np.arange(4) + 1 / 3)
    np.testing.assert_array_equal(trials.seeds, [0, 1, 0, 1])
    steps, values = trials.curves[2]
    assert (steps.tolist(), values.tolist()) == ([1, 2, 3], [3.0, 2.5, 2 + 1 / 3])
    assert trials.seconds.tolist() == [1.5] * 4
    assert [at.timestamp() - 1_700_000_000 for at in trials.finished] == [3, 13, 23, 33]
    assert [at.timestamp() - 1_700_000_000 for at in trials.started] == [1.5, 11.5, 21.5, 31.5]
    assert trials.failed == [ForeignFailure((0.2, 8.0), "RuntimeError: out of memory", 1)]
    assert trials.left_out == {"failed": 1, "unfinished": 1}  # of the former nobody knows which it was
    assert read_ray(experiment, "loss", ["wd"]).axes == ("wd",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "error"}, "has no 'error'"),
        ({"metric": "loss", "axes": ["w"]}, r"has no 'w' \(did you mean 'wd'\?\)"),
        ({"metric": "loss", "axes": ["optimizer/name"]}, "optimizer/name = 'adam' is no number"),
        ({"metric": "loss", "seed": "optimizer/lr"}, "optimizer/lr has to hold whole numbers from 0 on"),
    ],
)
def test_what_is_refused(experiment: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        read_ray(experiment, **arguments)


def test_folders_without_finished_trials(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no finished trials of Ray Tune"):
        read_ray(tmp_path, "loss")
    write_trial(tmp_path, 0, {"lr": 0.1}, done=False)
    with pytest.raises(StoreError, match="no finished trials of Ray Tune: 1 unfinished"):
        read_ray(tmp_path, "loss")
    write_trial(tmp_path, 1, {"lr": 0.1})
    with pytest.raises(StoreError, match="no number of the config differs"):
        read_ray(tmp_path, "loss")
    (tmp_path / "train_00001" / "params.json").write_text("{")
    with pytest.raises(StoreError, match=r"params.json cannot be read"):
        read_ray(tmp_path, "loss")


def train(config: dict[str, Any]) -> None:
    """Three reports of a loss that falls, or an error."""
    from ray import tune

    if config["net"]["width"] == 0:
        raise ValueError("a net needs a width")
    for step in (1, 2, 3):
        loss = abs(np.log10(config["lr"]) + 2) + config["net"]["width"] / 100 + 1 / step
        tune.report({"loss": loss, "accuracy": 1 - loss})


def test_what_ray_tune_writes_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run of six trials, one of which fails."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "0")  # which our own runs of it switch off
    import ray
    from ray import tune

    widths, rates = [8, 16, 32], [1e-3, 1e-2, 1e-1]
    trials = [
        {"lr": lr, "net": {"width": width}, "kind": "mlp"} for lr, width in zip(rates, widths, strict=True)
    ]
    trials += [{"lr": 1.0, "net": {"width": width}, "kind": "mlp"} for width in (0, 8, 16)]
    before = datetime.now(UTC)
    ray.init("local", num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        tuner = tune.Tuner(
            train,
            param_space=tune.grid_search(trials),
            run_config=tune.RunConfig(name="real", storage_path=str(tmp_path), verbose=0),
        )
        results = tuner.fit()
    finally:
        ray.shutdown()
    assert results.num_errors == 1
    found = read_ray(tmp_path / "real", "loss")
    assert found.failed == [ForeignFailure((1.0, 0.0), "ValueError: a net needs a width")]
    assert found.left_out == {"failed": 0, "unfinished": 0}
    assert found.axes == ("lr", "net_width")
    for began, ended in zip(found.started, found.finished, strict=True):
        assert before.replace(microsecond=0) <= began <= ended <= datetime.now(UTC)
    order = np.lexsort(found.points.T)
    np.testing.assert_array_equal(
        found.points[order], [[1e-3, 8], [1.0, 8], [1e-2, 16], [1.0, 16], [1e-1, 32]]
    )
    expected = np.abs(np.log10(found.points[:, 0]) + 2) + found.points[:, 1] / 100 + 1 / 3
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    steps, values = found.curves[0]
    assert steps.tolist() == [1, 2, 3]
    np.testing.assert_allclose(values - values[-1], [2 / 3, 1 / 6, 0], atol=1e-12)
    assert found.seconds is not None
    assert (found.seconds > 0).all()
    upwards = read_ray(tmp_path / "real", "accuracy", maximize=True)
    np.testing.assert_allclose(upwards.values, 1 - found.values, rtol=1e-12)
