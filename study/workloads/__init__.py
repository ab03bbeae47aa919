"""Workloads: the training problems that a study can name."""

from __future__ import annotations

from collections.abc import Callable

from study.workloads.draws import Draws
from study.workloads.gan import dcgan
from study.workloads.image_models import densenet, resnet_cifar, resnet_four_stages, resnext, wrn
from study.workloads.language import char_lstm, word_lstm
from study.workloads.module import ModuleWorkload, WorkloadError, error_rate
from study.workloads.own import digits_cnn, digits_cnn_bn, digits_mlp, mnist_cnn_bn, mnist_mlp
from study.workloads.synthetic import avagrad_stochastic, noisy_quadratic, rastrigin, rosenbrock
from study.workloads.translation import transformer
from study.workloads.workload import Batch, Carry, Params, Phase, Workload

WORKLOADS: dict[str, Callable[..., Workload]] = {
    "digits-mlp": digits_mlp,
    "digits-cnn": digits_cnn,
    "digits-cnn-bn": digits_cnn_bn,
    "mnist-mlp": mnist_mlp,
    "mnist-cnn-bn": mnist_cnn_bn,
    "wrn": wrn,
    "resnet-cifar": resnet_cifar,
    "resnet": resnet_four_stages,
    "resnext": resnext,
    "densenet": densenet,
    "avagrad-equation-11": avagrad_stochastic,
    "rastrigin": rastrigin,
    "rosenbrock": rosenbrock,
    "noisy-quadratic": noisy_quadratic,
    "char-lstm": char_lstm,
    "word-lstm": word_lstm,
    "dcgan": dcgan,
    "transformer": transformer,
}
"""Name in a study file -> factory; further keys of the study file's workload are its arguments."""

__all__ = [
    "WORKLOADS",
    "Batch",
    "Carry",
    "Draws",
    "ModuleWorkload",
    "Params",
    "Phase",
    "Workload",
    "WorkloadError",
    "error_rate",
]
