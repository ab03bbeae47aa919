"""Studies that come with the program."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from study.examples import about, examples, write_example
from study.spec import SpecError, load_spec

ROOT = Path(__file__).parents[2]
Cli = Callable[..., tuple[int, str, str]]


def test_they_are_listed_and_written_where_their_paths_lead(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(examples()) == {path.stem for path in (ROOT / "studies").glob("*.toml")}
    assert about(examples()["avagrad-quick"]) == (
        126,
        "avagrad-figure-1 in seconds: a coarser grid, fewer steps, one seed. For trying things out and for CI.",
    )
    _, out, _ = cli("list", "studies")
    assert all(name in out for name in examples())
    assert "tunability example NAME" in out
    code, out, err = cli("example", "torch-script")
    assert (code, out) == (0, "wrote studies/torch-script.toml\nwrote studies/torch_script.py\n")
    assert err == "next: tunability run studies/torch-script.toml\n"
    for name in examples():
        if name != "torch-script":
            write_example(name, tmp_path)
    for path in Path("studies").iterdir():
        assert path.read_bytes() == (ROOT / path).read_bytes()
        if path.suffix == ".toml":
            spec = load_spec(path)
            assert all(Path(each).is_file() for each in getattr(spec.workload, "sources", ()))


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no study 'avagrad-quik' .*did you mean 'avagrad-quick'"):
        write_example("avagrad-quik", tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quadratic.py").write_text("mine")
    with pytest.raises(SpecError, match=r"quadratic\.py is there already"):
        write_example("command", tmp_path)
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["quadratic.py"]


@pytest.mark.slow
def test_the_wheel_has_all_that_is_needed(tmp_path: Path) -> None:
    """Built from what git knows of the checkout, which stays as it is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith(("docs/", "tests/", "benchmarks/")):
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, tmp_path / "source"],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert list(tmp_path.glob("*.tar.gz"))
    packed = set(zipfile.ZipFile(wheel).namelist())
    packages = ("study/", "search_spaces/", "tuners/", "storage/", "analysis/")
    wanted = {name for name in listed if name.startswith(packages) or name == "tunability.py"}
    assert wanted <= packed
    data = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/tunability/"
    assert {data + name for name in listed if name.startswith("studies/")} <= packed
    assert not [name for name in packed if name.startswith(("tests/", "benchmarks/", "docs/"))]
