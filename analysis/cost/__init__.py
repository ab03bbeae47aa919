"""Tuning cost with intervals that cover: draws of the true landscape, each replayed by tuners.

*Estimand.* The suboptimality of a cell is its expected metric over training seeds minus the least expected metric of
the space. A run takes *trials to target*: the first trial after which the suboptimality of its incumbent is at most the
target. The cost is the median of that over runs, whose tuners draw differently and which see different training seeds.

`posterior` tells what S seeds a cell say of the expected metrics, `seen` what a run sees of them, `replays` makes runs
on draws, `interval` and `compare` turn those into costs and verdicts, `costs` does all of it for stored studies.
"""
