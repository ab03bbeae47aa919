"""`list` and `serve`; `doctor` has a file of its own."""

import socket
from collections.abc import Callable

import pytest

from study.workloads import WORKLOADS

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (
            "optimizers",
            ["adam", "avagrad-official", "lr, alpha, eta", "0.001", "Algorithm 1", "fused, second order"],
        ),
        ("tuners", ["tpe-multivariate", "Gradientless descent", "Gaussian process"]),
        ("optimizers", ["constant (or belief)", "0.001 · lr", "package.module:Class", "one by one"]),
        (
            "workloads",
            ["digits-mlp", "digits-cnn-bn", "mnist-cnn-bn", "4,810", "64x64, 64", "depth = 10", "400 + 400"],
        ),
        ("spaces", ["avagrad-cifar", "441", "AvaGrad, section 5.1"]),
    ],
)
def test_list(cli: Cli, what: str, names: list[str]) -> None:
    code, out, _ = cli("list", what)
    assert code == 0
    assert all(name in out for name in names)


def test_list_with_times(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two workloads: all of them take minutes."""
    few = {name: WORKLOADS.places[name] for name in ("digits-mlp", "rosenbrock")}
    monkeypatch.setattr(WORKLOADS, "places", few)
    code, out, err = cli("list", "workloads", "--time")
    assert code == 0
    assert "dcgan" not in out
    assert "seconds" in out
    assert out.count("fused") == 2
    assert "timing each workload" in err
    assert cli("list", "tuners", "--time")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in"),
        (["--token", "short"], "the token is not allowed"),
        (["--address", "localhost"], "--address localhost is not allowed"),
        (["--host", "192.0.2.77", "--token", "a-long-enough-token"], "cannot listen on"),
        (["--storage", "mysql://u:secret@h/d", "--port", "0"], "is a mysql database"),
        (["--storage", "nonsense", "--port", "0"], "is not a database URL"),
    ],
)
def test_a_service_that_cannot_be_started(cli: Cli, arguments: list[str], said: str) -> None:
    code, out, err = cli("serve", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "secret" not in err


def test_a_port_that_is_taken(cli: Cli, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = cli("serve", "--storage", url, "--port", taken.getsockname()[1])
    assert code == 2
    assert "give another --host or --port" in err
