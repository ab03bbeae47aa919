"""The study file: what it may say, and one clear line for everything else, without torch or foreign code."""

import subprocess
import sys
import tomllib

import pytest

from study.spec import SpecError, StudySpec, parse_spec

STUDY = """
name = "fig"
workload = "digits-mlp"
optimizers = ["adam", { name = "avagrad", betas = [0.9, 0.99] }]
space = "avagrad-cifar"
seeds = 3
"""


def spec(old: str = "", new: str = "") -> StudySpec:
    assert old in STUDY
    return parse_spec(tomllib.loads(STUDY.replace(old, new)), "fig.toml")


def test_json_round_trip() -> None:
    study = spec()
    assert StudySpec.model_validate_json(study.model_dump_json()) == study


@pytest.mark.parametrize(
    ("changes", "amounts"),
    [
        ({}, {"CPU": 1.0}),
        ({"device": "cuda"}, {"CPU": 1.0, "GPU": 1.0}),
        ({"device": "cuda", "resources": {"gpu": 0.25, "cpu": 0.5}}, {"CPU": 0.5, "GPU": 0.25}),
    ],
)
def test_a_block_takes_a_core_and_maybe_a_share_of_a_gpu(
    changes: dict[str, object], amounts: dict[str, float]
) -> None:
    given: dict[str, object] = {"name": "a", "workload": "digits-mlp", "optimizers": ["adam"], "seeds": 1}
    assert parse_spec(given | {"space": {"alpha": [1]}} | changes).amounts == amounts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "avagrad-cifar",
            "avagrad-cifr",
            "unknown search space 'avagrad-cifr' (did you mean 'avagrad-cifar'?)",
        ),
        ("seeds = 3", "seed = 3", "the key 'seeds' is missing; unknown key 'seed' (did you mean 'seeds'?)"),
        ("seeds = 3", "seeds = 0", "seeds = 0 is not allowed: give at least 1"),
        ("seeds = 3", "seeds = true", "seeds = True is not allowed: give a whole number"),
        ("seeds = 3", "seeds = 2.5", "seeds = 2.5 is not allowed"),
        ("seeds = 3", 'seeds = 3\ndevice = "tpu"', "device = 'tpu' is not allowed"),
        ("seeds = 3", 'seeds = 3\ndtype = "half"', "dtype = 'half' is not allowed"),
        ('name = "fig"', 'name = "fig/1"', "name = 'fig/1' is not allowed"),
        ('"avagrad-cifar"', "{ alpha = [], eps = [1] }", "axis 'alpha' is empty"),
        ('"avagrad-cifar"', "{}", "the search space has no axes"),
        ('"avagrad-cifar"', "{ alpha = [1, 1] }", "axis 'alpha' has the value 1 twice"),
        (
            '"avagrad-cifar"',
            "{ alpha = { values = [0, 1], scale = 'log' } }",
            "on a log scale and has the value 0",
        ),
        ('"avagrad-cifar"', "{ alpha = { low = -1, high = 1, num = 3, scale = 'log' } }", "has the value -1"),
        ('"avagrad-cifar"', "{ alpha = { low = 1e-3, high = 1 } }", "axis 'alpha' is continuous"),
        ('"digits-mlp"', '{ name = "digits-mlp", steps = 0 }', "workload.steps = 0 is not allowed"),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", weight_decay = -1.0 }',
            "workload.weight_decay.value = -1.0",
        ),
        ('["adam", ', '["avagrad", ', "optimizer 'avagrad' is listed twice"),
        ('["adam", ', "[3, ", "3 is no optimizer"),
        ('["adam", { name = "avagrad", betas = [0.9, 0.99] }]', "[]", "fig.toml: optimizers is empty"),
        ("seeds = 3", 'seeds = 3\ndevice = "cuda:1"', "device = 'cuda:1' is not allowed"),
        ('"digits-mlp"', '{ name = "digits-mlp", clip_norm = 0 }', "workload.clip_norm = 0 is not allowed"),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", schedule = { name = "cosine", wamup = 1 } }',
            "unknown key 'workload.schedule.wamup' (did you mean 'warmup'?): allowed are name, warmup, at, factor",
        ),
        ('"digits-mlp"', '{ name = "digits-mlp", schedule = "inverse-sqrt" }', "inverse-sqrt needs warmup"),
        (
            "seeds = 3",
            "seeds = 3\nresources = { gpu = 0.5 }",
            "resources are those of black boxes and of device",
        ),
        (
            "seeds = 3",
            'seeds = 3\ndevice = "cuda"\nresources = { gpu = 2 }',
            "gpu = 2 is not allowed: a block takes one, or a share of it",
        ),
        ("seeds = 3", "seeds = 100000", "the study has 88,200,000 trials: give a smaller grid"),
    ],
)
def test_what_is_not_allowed_is_one_clear_line(old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(old, new)
    text = str(caught.value)
    assert message in text
    assert text.startswith("fig.toml: ")
    assert "\n" not in text


def test_reading_needs_no_torch() -> None:
    script = (
        "import sys; from study.spec import parse_spec\n"
        "parse_spec({'name': 'a', 'workload': 'nobody:MADE', 'optimizers': ['nobody:Up'], 'space': {'lr': [1, 2]},"
        " 'seeds': 1})\n"
        "print('torch' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
