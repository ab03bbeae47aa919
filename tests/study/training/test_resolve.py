"""Names of a study file resolved: what was run is its identity, and one clear line for everything that is wrong."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from official_files import images, write_cifar_binary

from study.optimizers import OPTIMIZERS
from study.running.choices import with_untimed
from study.spec import Schedule, SpecError, StudySpec, WeightDecay, WorkloadSpec, parse_spec
from study.training.block import Choice, Recipe
from study.training.resolve import Study, load_study, resolve

STUDY = """
name = "fig"
workload = "digits-mlp"
optimizers = ["adam", { name = "avagrad", betas = [0.9, 0.99] }]
space = "avagrad-cifar"
seeds = 3
"""
FUSED = Choice("fused", True, 2)


def study(old: str = "", new: str = "") -> Study:
    assert old in STUDY
    return resolve(parse_spec(tomllib.loads(STUDY.replace(old, new)), "fig.toml"), "fig.toml")


def test_a_study_file_says_what_it_says() -> None:
    fig = study()
    assert fig.spec.trials == 441 * 2 * 3
    assert (fig.spec.workload.steps, fig.spec.workload.weight_decay.value) == (400, 0.0)
    assert fig.recipe_by(fig.optimizers[1], FUSED) == Recipe("digits-mlp", "avagrad")
    assert fig.optimizers[1].hyperparameters({"alpha": np.array([0.5])}) == {
        "beta1": 0.9,
        "beta2": 0.99,
        "lr": 0.5,
    }
    assert fig.spec.space.names == ("alpha", "eps")


def identities(given: Study) -> dict[str, dict[str, object]]:
    return with_untimed(given).identities()


def test_an_extent_is_a_study_file() -> None:
    assert parse_spec(study().extent()) == study().spec


def test_identity_is_what_decides_a_trial_but_cell_and_seed() -> None:
    chosen = with_untimed(study())
    ours = chosen.identities()
    larger = study("seeds = 3", 'seeds = 5\ndevice = "cuda"')
    assert replace(larger, choices=chosen.choices).identities() == ours
    assert identities(study("seeds = 3", "seeds = 3\nlanes = 7"))["adam"] == ours["adam"] | {"lanes": 7}
    assert identities(study("seeds = 3", 'seeds = 3\ndtype = "float64"')) != ours
    assert identities(study('"digits-mlp"', '{ name = "digits-mlp", steps = 400 }')) == ours


def test_identity_does_not_depend_on_how_defaults_are_written_and_names_them() -> None:
    written = '{ name = "adam", betas = [0.9, 0.999], amsgrad = false }'
    ours = identities(study())
    assert identities(study('"adam"', written)) == ours
    assert identities(study('"adam"', '{ name = "adam", beta1 = 0.8 }')) != ours
    assert ours["adam"]["settings"] == {
        **{"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
    }


def test_a_published_space_is_the_table_it_stands_for() -> None:
    alpha, eps = study().spec.space.axes
    table = f"{{ alpha = {list(alpha.values)}, eps = {list(eps.values)} }}"
    assert identities(study('"avagrad-cifar"', table)) == identities(study())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"adam"', '"adma"', "unknown optimizer 'adma' (did you mean 'adam'?): known are sgd, adam, "),
        ("digits-mlp", "digits-mpl", "unknown workload 'digits-mpl' (did you mean 'digits-mlp'?)"),
        ('"avagrad-cifar"', "{ alhpa = [1, 2] }", "adam: no hyperparameter 'alhpa': it has lr, beta1"),
        ('"avagrad-cifar"', "{ alpha = [-1, 2] }", "adam: alpha = -1.0 is not allowed"),
        ('"avagrad-cifar"', "{ alpha = [1], lr = [1, 2] }", "lr is given twice"),
        ("betas = [0.9, 0.99]", "betas = [0.9]", "betas = [0.9] is not allowed: give 2 numbers"),
        ("betas = [0.9, 0.99]", "betas = [0.9, 1.0]", "beta2 = 1.0 is not allowed"),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", step = 3 }',
            "workload: unknown key 'step' (did you mean 'steps'?): allowed are steps, schedule, weight_decay, clip",
        ),
        (
            '"digits-mlp"',
            '{ name = "digits-mlp", hiden = 3 }',
            "unknown key 'hiden' (did you mean 'hidden'?): allowed are steps, schedule, weight_decay, clip_norm, "
            "and of digits-mlp hidden",
        ),
        ('"digits-mlp"', '{ name = "digits-mlp", hidden = "a" }', "digits-mlp cannot be made (TypeError: "),
        ("betas = [0.9, 0.99]", "bets = 1", "avagrad: no hyperparameter 'bets'"),
        ("betas = [0.9, 0.99]", "lr = 0.1", "avagrad: lr is given twice (axis 'alpha')"),
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
    ],
)
def test_what_is_not_allowed_is_one_clear_line(old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        study(old, new)
    text = str(caught.value)
    assert message in text
    assert text.startswith("fig.toml: ")
    assert "\n" not in text


def test_one_mistake_is_one_complaint() -> None:
    with pytest.raises(SpecError) as caught:
        study('["adam", { name = "avagrad", betas = [0.9, 0.99] }]', '["adma"]')
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
    full = resolve(parse_spec(tomllib.loads(FULL)))
    assert StudySpec.model_validate_json(full.spec.model_dump_json()) == full.spec
    assert parse_spec(full.extent()) == full.spec
    apollo, rmsprop, radam = (full.recipe_by(optimizer, FUSED) for optimizer in full.optimizers)
    assert apollo.schedule == Schedule(name="cosine", warmup=20)
    assert dict(apollo.options)["rebound"] == "belief"
    assert rmsprop.schedule == Schedule(name="milestones", at=(0.3, 0.6, 0.8), factor=0.2)
    assert radam.weight_decay == WeightDecay(value=5e-4, kind="adjusted", reference_lr=0.1)
    assert radam.clip_norm == 1.0
    cells = {"factor": np.array([0.2, 10.0]), "eps": np.array([0.1, 0.9])}
    names = [optimizer.hyperparameters(cells) for optimizer in full.optimizers]
    assert [sorted(each) for each in names] == [["eps", "lr"], ["alpha", "lr"], ["betas[1]", "lr"]]
    assert [each["lr"].tolist() for each in names] == [[0.1, 5.0], [pytest.approx(0.02), 1.0], [0.0002, 0.01]]


def test_the_example_studies_are_allowed(tmp_path: Path) -> None:
    paths = sorted((Path(__file__).parents[3] / "studies").glob("*.toml"))
    assert paths
    files = {"data_batch_1.bin": images(300), "test_batch.bin": images(10)}
    data = {"data": str(write_cifar_binary(tmp_path, files)), "subset": True, "depth": 10, "width": 1}
    for path in paths:
        if "\ndata = " not in (text := path.read_text(encoding="utf-8")):
            load_study(path)
            continue
        given = tomllib.loads(text)
        resolve(parse_spec(given | {"workload": given["workload"] | data}))


def test_the_recipe_of_avagrad_on_cifar_is_the_papers() -> None:
    """Rate x0.2 after epochs 60, 120 and 160 of 200, each of 45,000 images in batches of 128."""
    path = Path(__file__).parents[3] / "studies" / "avagrad-wrn-28-4.toml"
    workload = parse_spec(tomllib.loads(path.read_text(encoding="utf-8"))).workload
    assert isinstance(workload, WorkloadSpec)
    epoch = 45_000 // 128
    assert workload.steps == 200 * epoch
    rates = workload.schedule.multipliers(workload.steps)
    for epochs, before, after in ((60, 1, 0.2), (120, 0.2, 0.04), (160, 0.04, 0.008)):
        assert rates[epochs * epoch - 1] == pytest.approx(before)
        assert rates[epochs * epoch] == pytest.approx(after)
    assert workload.weight_decay == WeightDecay(value=5e-4)
    assert workload.settings["batch"] == 128


def test_where_data_lie_is_no_part_of_a_recipe_but_what_they_are_is(tmp_path: Path) -> None:
    def identity(folder: str, seed: int) -> object:
        files = {"data_batch_1.bin": images(80, seed=seed), "test_batch.bin": images(10)}
        place = str(write_cifar_binary(tmp_path / folder, files))
        workload = {"name": "wrn", "data": place, "subset": True, "batch": 8, "average": 4}
        given = {
            "name": "s",
            "workload": workload,
            "optimizers": ["adam"],
            "space": {"lr": [0.1]},
            "seeds": 1,
        }
        study = resolve(parse_spec(given))
        choices = {"adam": Choice("fused", False, 2)}
        return Study(study.spec, study.workload, study.optimizers, choices).identities()

    assert identity("one", 0) == identity("other", 0) != identity("third", 1)


def test_without_leave_no_folder_is_read() -> None:
    workload = {"name": "wrn", "data": "/etc", "batch": 8}
    given = {"name": "s", "workload": workload, "optimizers": ["adam"], "space": {"lr": [0.1]}, "seeds": 1}
    with pytest.raises(
        SpecError, match="data = '/etc' is a folder: these are allowed by tunability serve --allow"
    ):
        resolve(parse_spec(given), allow_imports=False)
    resolve(parse_spec(given | {"workload": "wrn"}), allow_imports=False)
    program = {"name": "dcgan", "inception": "x.pt2"}
    with pytest.raises(SpecError, match="is a program: these are allowed by"):
        resolve(parse_spec(given | {"workload": program}), allow_imports=False)


def test_without_leave_nothing_is_imported() -> None:
    given = tomllib.loads(STUDY.replace('"adam"', '"nobody:Adam"').replace("digits-mlp", "nobody:WORKLOAD"))
    with pytest.raises(SpecError, match=r"'nobody:WORKLOAD' is no name.*'nobody:Adam' is no name") as caught:
        resolve(parse_spec(given), allow_imports=False)
    assert [error["location"] for error in caught.value.errors] == ["workload", "optimizers.0"]
