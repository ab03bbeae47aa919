"""Seeds added until a verdict is decided, on a real local Ray cluster."""

import re
from collections.abc import Callable
from pathlib import Path

from storage.store import open_store
from study.decide import stored_extra, until_decided
from study.run import run
from study.spec import load_spec

Cli = Callable[..., tuple[int, str, str]]
STUDY = """
name = "small"
workload = { name = "digits-mlp", steps = 30 }
optimizers = ["adam", "avagrad"]
seeds = 2
[space]
alpha = { low = 1e-4, high = 1e2, num = 13, scale = "log" }
eps = { low = 1e-6, high = 1, num = 7, scale = "log" }
"""


def test_seeds_are_added_in_the_cells_that_matter(tmp_path: Path, cli: Cli) -> None:
    path, url = tmp_path / "small.toml", f"sqlite:///{tmp_path}/t.db"
    path.write_text(STUDY)
    code, _, err = cli("run", path, "--budget", "60", "--storage", url)
    assert code == 2
    assert "--until-decided" in err
    code, out, err = cli("run", path, "--until-decided", "--budget", "200", "--storage", url)
    assert code == 0, err
    assert "small: 364 of 364 trials stored" in out
    told = re.search(r"seeds added for the verdict: (\d+) trials, (\d+) of them now, of at most 200", out)
    assert told
    assert told[1] == told[2]
    assert re.search(r"^adam: (coupled|decoupled|undecided)", out, re.MULTILINE)
    spec, extra = load_spec(path), int(told[1])
    with open_store(url, create=False) as store:
        assert 0 < stored_extra(spec, store) == extra <= 200
        for optimizer in ("adam", "avagrad"):
            frame = store.trials("small", optimizer, where="seed >= 2")
            cells = frame.groupby("seed").size()
            assert (cells < 0.8 * spec.space.size).all()
            assert sorted(cells.index) == list(range(2, 2 + len(cells)))
        assert until_decided(spec, extra)(store, 1) == []
        further = until_decided(spec, 10_000)(store, 1)
        assert all(block.seed >= 2 for block in further)
    again = run(spec, url, further=until_decided(spec, extra), on_progress=lambda *_: None)
    assert (again.new, again.extra, again.done) == (0, 0, 364)
    code, out, _ = cli("separability", "small", "--format", "json", "--storage", url)
    assert code == 0
    assert '"seeds_to_decide"' in out
