"""Sensitivity, as users ask for it: how wide the good range is, what defaults cost, how much must be tuned.

*Estimands.* A landscape is the expected metric L(h) over training seeds of every cell h of a grid; best is its least.
The *profile* of a hyperparameter is what each of its values loses with the others at their best for it:
min over h with h_i = v of L(h), minus best.

- *Width within x*: the measure of the values v whose profile is at most x, in decades on a logarithmic axis, as a share
  of the axis's range on a linear one. Between neighbouring grid values the profile is taken as linear (in log v on a
  logarithmic axis), so steps count in part, and nothing beyond the grid's ends does: a set that reaches an end may go
  on. The set need not be connected. The same *held*: with the others at the best cell's values instead of their best
  for each v.
- *What the default costs*: L(default) minus best, at the grid cell nearest to the optimizer's defaults in each axis.
- *Lost at its default*: the profile at the default's value: what is lost by leaving one hyperparameter there and tuning
  the others.
- *How many must be tuned* (effective dimensionality): the least k for which the best choice of k hyperparameters to
  tune, the others at their defaults, gains 95% of what tuning all gains over the default.
- Of several workloads, after Adkins, Bowling & White (NeurIPS 2024, "A Method for Evaluating Hyperparameter Sensitivity
  in Reinforcement Learning", https://arxiv.org/abs/2412.07165): *sensitivity*, the mean score tuned for each workload
  minus that of the one setting that is best for all; and their effective dimensionality, see `workloads`.

*Differs from the paper.* There the defaults are the setting that is best across environments, the 95% are of the tuned
score, and the number is interpolated between whole numbers. Of one study there is no such setting, so that defaults are
the optimizer's own, 95% are of the gain, and numbers are whole. Their intervals resample runs; these are of draws.

Estimates are medians over draws of the true landscape (`draws`), intervals reach from 2.5% to 97.5% of them. How often
these hold the truth: `benchmarks/coverage.py --sensitivity`.
"""
