"""The study file: what it may say, its identity, and one clear line for everything else."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from study.block import Recipe
from study.optimizers import OPTIMIZERS
from study.schedules import Schedule, WeightDecay
from study.spec import SpecError, StudySpec, load_spec, parse_spec

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


def test_a_study_file_says_what_it_says() -> None:
    study = spec()
    assert study.trials == 441 * 2 * 3
    assert (study.workload.steps, study.workload.weight_decay.value) == (400, 0.0)
    assert study.recipe(study.optimizers[1]) == Recipe("digits-mlp", "avagrad")
    assert study.optimizers[1].hyperparameters({"alpha": np.array([0.5])}) == {
        "beta1": 0.9,
        "beta2": 0.99,
        "lr": 0.5,
    }
    assert study.space.names == ("alpha", "eps")


def test_json_round_trip() -> None:
    study = spec()
    assert StudySpec.model_validate_json(study.model_dump_json()) == study
    assert parse_spec(study.identity()).identity() == study.identity()


def test_identity_is_what_was_run_not_how() -> None:
    assert spec("seeds = 3", 'seeds = 3\nlanes = 7\ndevice = "cuda"').identity() == spec().identity()
    assert spec("seeds = 3", 'seeds = 3\ndtype = "float64"').identity() != spec().identity()
    assert spec('"digits-mlp"', '{ name = "digits-mlp", steps = 400 }').identity() == spec().identity()


def test_identity_does_not_depend_on_how_defaults_are_written() -> None:
    written = '{ name = "adam", betas = [0.9, 0.999], amsgrad = false }'
    assert spec('"adam"', written).identity() == spec().identity()
    assert spec('"adam"', '{ name = "adam", beta1 = 0.8 }').identity() != spec().identity()


def test_a_published_space_is_the_table_it_stands_for() -> None:
    alpha, eps = spec().space.axes
    table = f"{{ alpha = {list(alpha.values)}, eps = {list(eps.values)} }}"
    assert spec('"avagrad-cifar"', table).identity() == spec().identity()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"adam"', '"adma"', "unknown optimizer 'adma' (did you mean 'adam'?): known are sgd, adam, "),
        ("digits-mlp", "digits-mpl", "unknown workload 'digits-mpl' (did you mean 'digits-mlp'?)"),
        (
            "avagrad-cifar",
            "avagrad-cifr",
            "unknown search space 'avagrad-cifr' (did you mean 'avagrad-cifar'?)",
        ),
        ("seeds = 3", "seed = 3", "the key 'seeds' is missing; unknown key 'seed' (did you mean 'seeds'?)"),
        ("seeds = 3", "seeds = 0", "seeds = 0 is not allowed: input should be greater than or equal to 1"),
        ("seeds = 3", "seeds = true", "seeds = True is not allowed: input should be a valid integer"),
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
        ('"avagrad-cifar"', "{ alhpa = [1, 2] }", "adam: no hyperparameter 'alhpa': it has lr, beta1"),
        ('"avagrad-cifar"', "{ alpha = [-1, 2] }", "adam: alpha = -1.0 is not allowed"),
        ('"avagrad-cifar"', "{ alpha = [1], lr = [1, 2] }", "lr is given twice"),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", step = 3 }',
            "unknown key 'workload.step' (did you mean 'steps'?)",
        ),
        ('"digits-mlp"', '{ name = "digits-mlp", steps = 0 }', "workload.steps = 0 is not allowed"),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", weight_decay = -1.0 }',
            "workload.weight_decay.value = -1.0",
        ),
        ("betas = [0.9, 0.99]", "betas = [0.9]", "betas = [0.9] is not allowed: give 2 numbers"),
        ("betas = [0.9, 0.99]", "betas = [0.9, 1.0]", "beta2 = 1.0 is not allowed"),
        ("betas = [0.9, 0.99]", "bets = 1", "avagrad: no hyperparameter 'bets'"),
        ("betas = [0.9, 0.99]", "lr = 0.1", "avagrad: lr is given twice (axis 'alpha')"),
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
        ("betas = [0.9, 0.99]", "amsgrad = true", "avagrad: no hyperparameter 'amsgrad'"),
        (
            '"adam"',
            '{ name = "adam", amsgrad = 1 }',
            "adam: amsgrad = 1 is not allowed: give one of False, True",
        ),
        (
            '"adam"',
            '{ name = "adam", axes = { alhpa = "lr" } }',
            "axes names 'alhpa', which the space does not have",
        ),
        ('"adam"', '{ name = "adam", axes = { alpha = "rate" } }', "adam: no hyperparameter 'rate'"),
        ('"adam"', '{ name = "adam", axes = { alpha = "eps" } }', "adam: eps is given twice (axis 'eps')"),
        (
            '"adam"',
            '"rmsprop"',
            "rmsprop: 'alpha' is its own argument and the papers' letter for lr: say which",
        ),
        ('"adam"', '"nobody:Adam"', "nobody:Adam cannot be imported (ModuleNotFoundError"),
        ('"adam"', '"pytorch_optimizer:Lion"', "pytorch_optimizer:Lion: no argument 'eps': it has lr, betas"),
        (
            '"adam"',
            '{ name = "pytorch_optimizer:Lion", axes = { eps = "betas[0]" } }',
            "pytorch_optimizer:Lion: lr = 5e-07, betas[0] = 1 is refused (ValueError",
        ),
        (
            '"adam"',
            '"torch.optim:RMSprop"',
            "'alpha' is its own argument and the papers' letter for lr: say which",
        ),
        (
            '["adam", { name = "avagrad", betas = [0.9, 0.99] }]\nspace = "avagrad-cifar"',
            '[{ name = "pytorch_optimizer:AliG" }]\nspace = { factor = [1, 2] }',
            "the axis 'factor' multiplies lr, which has no number here",
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


def test_one_mistake_is_one_complaint() -> None:
    with pytest.raises(SpecError) as caught:
        spec('["adam", { name = "avagrad", betas = [0.9, 0.99] }]', '["adma"]')
    assert str(caught.value) == (
        f"fig.toml: optimizers.0: unknown optimizer 'adma' (did you mean 'adam'?): known are {', '.join(OPTIMIZERS)}, "
        "or an import path such as package.module:name"
    )


FULL = """
name = "full"
optimizers = [
    { name = "apollo", lr = 0.5, rebound = "belief", schedule = { name = "cosine", warmup = 20 } },
    { name = "rmsprop", axes = { eps = "alpha" }, lr = 0.1 },
    { name = "torch.optim:RAdam", axes = { eps = "betas[1]" } },
]
space = { factor = [0.2, 1, 2, 10], eps = [0.1, 0.9] }
seeds = 2

[workload]
name = "digits-mlp"
schedule = { name = "milestones", at = [0.3, 0.6, 0.8], factor = 0.2 }
weight_decay = { value = 5e-4, kind = "adjusted", reference_lr = 0.1 }
clip_norm = 1.0
"""


def test_everything_a_study_file_may_say() -> None:
    study = parse_spec(tomllib.loads(FULL))
    assert StudySpec.model_validate_json(study.model_dump_json()) == study
    assert parse_spec(study.identity()) == study
    apollo, rmsprop, radam = (study.recipe(optimizer) for optimizer in study.optimizers)
    assert apollo.schedule == Schedule(name="cosine", warmup=20)
    assert dict(apollo.options)["rebound"] == "belief"
    assert rmsprop.schedule == Schedule(name="milestones", at=(0.3, 0.6, 0.8), factor=0.2)
    assert radam.weight_decay == WeightDecay(value=5e-4, kind="adjusted", reference_lr=0.1)
    assert radam.clip_norm == 1.0
    cells = {"factor": np.array([0.2, 10.0]), "eps": np.array([0.1, 0.9])}
    names = [optimizer.hyperparameters(cells) for optimizer in study.optimizers]
    assert [sorted(each) for each in names] == [["eps", "lr"], ["alpha", "lr"], ["betas[1]", "lr"]]
    assert [each["lr"].tolist() for each in names] == [[0.1, 5.0], [pytest.approx(0.02), 1.0], [0.0002, 0.01]]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "a"\nseeds = = 3\n')
    with pytest.raises(SpecError, match=r"broken.toml: is not valid TOML: .*line 2"):
        load_spec(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing.toml: cannot be read \(No such file"):
        load_spec(tmp_path / "nothing.toml")


def test_the_example_studies_are_allowed() -> None:
    paths = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
    assert paths
    for path in paths:
        load_spec(path)
