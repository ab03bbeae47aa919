"""The study file: what one TOML file may say. Reading it runs nobody's code and needs no torch.

name = "avagrad-figure-1"
workload = "digits-mlp"              # or a table, see WorkloadSpec; or an import path, "my_module:workload"
optimizers = ["adam", "avagrad"]     # or tables, see OptimizerSpec; or import paths, "pytorch_optimizer:Lion"
space = "avagrad-cifar"              # or a table, see SearchSpace.from_table
seeds = 3                            # seeds 0, 1, 2
dtype = "float32"                    # or "float64"
device = "cpu"                       # or "cuda"; how to run, not what: it may change between runs
tuning = { trials = 100 }            # what `tunability tune` runs, see TuningSpec
method = "fused"                     # or "one-by-one"; the faster one is found by timing when left out
lanes = 63                           # trials trained together; chosen by itself when left out
resources = { cpu = 2, gpu = 0.5 }   # of a trial of a black box, or a block on a GPU: see ResourcesSpec

What the names in it lead to is `study.training.resolve`'s business.
"""

from study.spec.black_box import BlackBoxSpec, ResourcesSpec
from study.spec.optimizer import OptimizerSpec
from study.spec.schedules import Schedule, WeightDecay
from study.spec.study import SpecError, StudySpec, Tell, parse_spec, parse_tuning, silent
from study.spec.toml import load_spec, to_toml
from study.spec.tuning import TuningSpec
from study.spec.workload import WorkloadSpec

__all__ = [
    "BlackBoxSpec",
    "OptimizerSpec",
    "ResourcesSpec",
    "Schedule",
    "SpecError",
    "StudySpec",
    "Tell",
    "TuningSpec",
    "WeightDecay",
    "WorkloadSpec",
    "load_spec",
    "parse_spec",
    "parse_tuning",
    "silent",
    "to_toml",
]
