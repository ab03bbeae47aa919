"""How a study is trained is decided once: its database keeps it, and whoever goes on with it keeps to it."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.store import open_store
from study.running import choices
from study.running.choices import settled, stored_choices, with_timed, with_untimed
from study.running.forecast import forecast, notes
from study.running.plan import plan, stored_plan
from study.running.run import declare
from study.spec import SpecError, parse_spec
from study.training.block import Choice
from study.training.resolve import Study, resolve

ALONE = Choice("one-by-one", True, 5, 1.5, "a line about it")


@pytest.fixture
def study() -> Study:
    return resolve(
        parse_spec(
            {
                "name": "small",
                "workload": {"name": "digits-mlp", "steps": 20},
                "optimizers": ["adam", "sgd"],
                "space": {"lr": {"low": 1e-3, "high": 1, "num": 9, "scale": "log"}},
                "seeds": 2,
            }
        )
    )


def test_what_was_chosen_first_holds(tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    with open_store(url, create=True) as store:
        declare(replace(study, choices={"adam": ALONE}), store)
        other = declare(replace(study, choices={"adam": Choice("fused", False, 3)}), store)
        assert other.choices["adam"] == ALONE
        assert other.choices["sgd"] == with_untimed(study).choices["sgd"]
    monkeypatch.setattr(choices, "choose", None)  # nothing is timed again
    assert settled(study, url).choices["adam"] == ALONE
    todo = stored_plan(study, url, 1)
    assert todo is not None
    methods = {(block.recipe.optimizer, block.recipe.method, block.recipe.compile) for block in todo.blocks}
    assert methods == {("adam", "one-by-one", True), ("sgd", "fused", False)}
    assert max(block.lanes for block in todo.blocks if block.recipe.optimizer == "adam") <= 5


def test_a_forecast_says_how_and_how_long(tmp_path: Path, study: Study) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    with open_store(url, create=True) as store:
        declare(replace(study, choices={"adam": ALONE}), store)
    known, todo, seconds = forecast(study, url, 2)
    assert todo.trials == 36
    assert seconds > 18 * 1.5 / 2
    adam, note, sgd = notes(known)
    assert adam == "adam: one-by-one, compiled, about 1.5 s a trial and core"
    assert note == "note: a line about it"
    assert sgd.startswith("sgd: fused, uncompiled, about ")


def test_a_study_without_choices_is_planned_as_untimed(study: Study) -> None:
    assert all(block.recipe.method == "fused" for block in plan(study, None, 2).blocks)


def test_an_optimizer_that_cannot_take_a_step_is_one_line(study: Study) -> None:
    foreign = resolve(
        study.spec.model_copy(
            update={
                "optimizers": parse_spec(
                    study.spec.model_dump(mode="json") | {"optimizers": ["known_workloads:Refusing"]}
                ).optimizers
            }
        )
    )
    with pytest.raises(
        SpecError, match=r"known_workloads:Refusing cannot train digits-mlp \(RuntimeError: never\)"
    ):
        with_timed(foreign)


def test_a_method_of_the_file_replaces_that_of_a_study_without_trials(tmp_path: Path, study: Study) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    with open_store(url, create=True) as store:
        declare(study, store)
        changed = replace(study, spec=study.spec.model_copy(update={"method": "one-by-one"}), choices={})
        declared = declare(changed, store)
        assert store.recipes("small")["adam"]["method"] == "one-by-one"
        optimizer = declared.optimizers[0]
        assert declared.recipe(optimizer).method == "one-by-one"  # what blocks are trained by


def test_a_store_from_elsewhere_may_have_no_choices(tmp_path: Path, study: Study) -> None:
    with open_store(f"sqlite:///{tmp_path}/t.db", create=True) as store:
        store.declare(
            "small", {"adam": {}}, space=study.spec.space, metric="m", spec=study.extent(), provenance={}
        )
        assert stored_choices(study, store).choices == with_untimed(study).choices
