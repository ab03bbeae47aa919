"""Refusals that need no torch."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.store import StoreError
from study.running import refuse
from study.running.address import LaunchError
from study.running.run import run
from study.spec import SpecError, parse_spec
from study.training.resolve import resolve

SPEC: dict[str, Any] = {
    "name": "few",
    "workload": {"name": "digits-mlp", "steps": 2},
    "optimizers": [{"name": "adam", "beta1": 0.5}],
    "space": {"alpha": [0.01, 0.1]},
    "seeds": 1,
}
BOX = {"command": """echo '{{"loss": 1}}'""", "metric": "loss"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "tuner": ({"tuning": {"tuners": ["cgdl"]}}, "unknown tuner 'cgdl' (did you mean 'cgld'?)"),
    "optimizer": ({"optimizers": ["adm"]}, "unknown optimizer 'adm' (did you mean 'adam'?)"),
    "setting": ({"optimizers": [{"name": "adam", "beta3": 1}]}, "adam: no hyperparameter 'beta3'"),
    "value": ({"optimizers": [{"name": "adam", "beta1": 1.5}]}, "adam: beta1 = 1.5 is not allowed"),
    "axis": ({"space": {"alhpa": [0.1]}}, "adam: no hyperparameter 'alhpa'"),
    "workload": ({"workload": "digits-mpl"}, "unknown workload 'digits-mpl' (did you mean 'digits-mlp'?)"),
    "of a workload": ({"workload": {"name": "digits-mlp", "hiden": 3}}, "unknown key 'hiden'"),
    "space": ({"space": "avagrad-cifr"}, "unknown search space 'avagrad-cifr'"),
    "key": ({"sedes": 1}, "unknown key 'sedes' (did you mean 'seeds'?)"),
    "steps": ({"workload": {"name": "digits-mlp", "steps": 3}}, "another recipe (steps = 2 there, 3 here)"),
    "stored setting": ({"optimizers": ["adam"]}, "another recipe (settings.beta1 = 0.5 there, 0.9 here)"),
    "dtype": ({"dtype": "float64"}, 'another recipe (dtype = "float32" there, "float64" here)'),
    "device": ({"device": "cuda", "seeds": 2}, "asks for a GPU, and this machine has none"),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The study's two trials."""
    url = f"sqlite:///{tmp_path_factory.mktemp('refuse')}/t.db"
    run(resolve(parse_spec(SPEC)), url, local=True, on_progress=lambda *_: None)
    return url


def refused(given: dict[str, Any], database: str, **options: Any) -> None:
    refuse.refuse_early(parse_spec(given), "study", database, **options)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refuse, "DEVICES", ())


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, database: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises((SpecError, StoreError)) as error:
        refused(SPEC | change, database)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_none_of_them_imports_torch_or_ray(database: str) -> None:
    code = f"""
import sys
from study.running import refuse
from study.running.address import LaunchError
from study.spec import parse_spec
refuse.DEVICES = ()
for change in {[change for change, _ in REFUSED.values()]!r}:
    try:
        refuse.refuse_early(parse_spec({SPEC!r} | change), "study", {database!r})
    except ValueError:
        continue
    sys.exit(f"not refused: {{change}}")
print(*{{"torch", "ray", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.usefixtures("without_gpu")
def test_what_is_not(database: str, tmp_path: Path) -> None:
    refused(SPEC, database)
    refused(SPEC | {"device": "cuda"}, database)  # nothing is to be trained
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.getsockname()[1]}"
        refused(SPEC | {"device": "cuda", "seeds": 2}, database, address=address)
    with pytest.raises(LaunchError, match="cannot reach a Ray cluster at"):
        refused(SPEC, database, address=address)
    refused(SPEC | {"name": "other", "dtype": "float64"}, database)
    refused(SPEC | {"optimizers": [{"name": "adam", "label": "plain"}]}, database)
    refused(SPEC, f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.usefixtures("without_gpu")
def test_black_boxes_are_refused_for_their_recipe_and_for_a_gpu(tmp_path: Path) -> None:
    box = SPEC | {"workload": BOX, "optimizers": ["one"]}
    with pytest.raises(SpecError, match=r"resources\.gpu asks for a GPU"):
        refused(box | {"resources": {"gpu": 0.5}}, "sqlite:///none.db")
    refused(box | {"resources": {"gpu": 0.5}}, "sqlite:///none.db", local=True)  # it takes what there is
    url = f"sqlite:///{tmp_path}/t.db"
    run(resolve(parse_spec(box)), url, local=True, on_progress=lambda *_: None)
    refused(box, url)
    with pytest.raises(StoreError, match=r"another recipe \(worst = 1000000.0 there, 1.0 here\)"):
        refused(box | {"workload": BOX | {"worst": 1.0}}, url)
