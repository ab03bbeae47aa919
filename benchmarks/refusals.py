"""How long a command line takes to refuse what it is not given rightly: seconds of the whole command, and of its cores.

python benchmarks/refusals.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """name = "{name}"
workload = {{ name = "{workload}", steps = {steps}{more} }}
optimizers = [{optimizer}]
space = {space}
seeds = {seeds}
device = "{device}"
"""
GOOD = {
    "name": "few",
    "workload": "digits-mlp",
    "steps": "2",
    "more": "",
    "optimizer": '"adam"',
    "space": "{ alpha = [0.01, 0.1] }",
    "seeds": "1",
    "device": "cpu",
}
CASES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "unknown tuner": ({}, ("tune", "--tuners", "cgdl")),
    "unknown optimizer": ({"optimizer": '"adm"'}, ("run",)),
    "its setting": ({"optimizer": '{ name = "adam", beta3 = 1 }'}, ("run",)),
    "an axis": ({"space": "{ alhpa = [0.1] }"}, ("run",)),
    "unknown workload": ({"workload": "digits-mpl"}, ("run",)),
    "its setting ": ({"more": ", hiden = 3"}, ("run",)),
    "unknown space": ({"space": '"avagrad-cifr"'}, ("run",)),
    "another recipe": ({"steps": "3"}, ("run",)),
    "another recipe ": ({"steps": "3"}, ("tune",)),
    "no GPU": ({"device": "cuda", "seeds": "2"}, ("run",)),
    "no GPU ": ({"device": "cuda", "seeds": "2"}, ("run", "--dry-run")),
    "no GPU  ": ({"device": "cuda", "seeds": "2"}, ("tune",)),
    "no cluster there": ({"seeds": "2"}, ("run", "--address", "127.0.0.1:1")),
    "setting of a foreign class": (
        {"name": "other", "optimizer": '{ name = "torch.optim:Adam", beta3 = 1 }'},
        ("run",),
    ),
    "value that a workload refuses": ({"name": "other", "workload": "wrn", "more": ", depth = 11"}, ("run",)),
}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from study.cli import main; main()", *map(str, arguments)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="The fastest of so many is shown.")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        file, database = Path(folder) / "few.toml", f"sqlite:///{folder}/t.db"
        file.write_text(SPEC.format(**GOOD))
        subprocess.run(
            command("run", file, "--local", "--storage", database), check=True, capture_output=True
        )
        print(f"{'refused':<32}{'command':<26}{'seconds':>8}{'of a core':>10}  said")
        for case, (change, arguments) in CASES.items():
            file.write_text(SPEC.format(**GOOD | change))
            tried = [refuse(arguments, file, database) for _ in range(repeats)]
            seconds, busy, said = min(tried)
            print(f"{case:<32}{' '.join(arguments):<26}{seconds:8.2f}{busy:10.2f}  {said[:60]}")


def refuse(arguments: tuple[str, ...], file: Path, database: str) -> tuple[float, float, str]:
    """Seconds of a refused command, seconds of cores, and what it said without the file's name."""
    name, *options = arguments
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        command(name, file, *options, "--storage", database), capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - started, os.times()
    if done.returncode != 2 or done.stderr.count("\n") != 1:
        sys.exit(f"not refused in one line: {arguments}\n{done.stdout}{done.stderr}")
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, busy, done.stderr.strip().removeprefix("error: ").removeprefix(f"{file}: ")


if __name__ == "__main__":
    main()
