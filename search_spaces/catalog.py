"""The search spaces that papers published, each with its table or section.

AvaGrad: "Domain-Independent Dominance of Adaptive Methods" (Savarese et al., 2021), https://arxiv.org/abs/1912.01823
Apollo: "Apollo: An Adaptive Parameter-wise Diagonal Quasi-Newton Method" (Ma, 2020 and 2021),
https://arxiv.org/abs/2009.13586
AdaL: "AdaL: Adaptive Gradient Transformation Contributes to Convergences and Generalizations"
(Zhang et al., 2021), https://arxiv.org/abs/2107.01525

Axes carry the papers' symbols: alpha (torch's lr) is the learning rate and eps the adaptability of Adam and
AvaGrad; eta (torch's lr) is the learning rate and sigma the convexity of Apollo; gamma is a weight decay.
"""

from dataclasses import dataclass

from search_spaces.axis import Axis
from search_spaces.errors import SpaceError, nearest_name
from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class PublishedSpace:
    """A search space with where it was published and, in one line, what to know about it."""

    space: SearchSpace
    source: str
    note: str


def _decimals(*leading: int, exponents: range) -> list[float]:
    # Read from text, since 5 * 10.0**-7 is not the float nearest to 5e-7.
    return [float(f"{digit}e{exponent}") for exponent in exponents for digit in leading]


CIFAR_ALPHA = [5e-7, *_decimals(1, 5, exponents=range(-6, 4))]
CIFAR_EPS = [*_decimals(1, 2, exponents=range(-8, 2)), 100.0]
LSTM_ALPHA = [2e-4, *_decimals(1, 2, exponents=range(-3, 2))]
LSTM_EPS = [1e-8, 5e-7, 1e-6, 5e-5, 1e-4, 5e-3, 1e-2, 0.5, 1.0, 50.0, 100.0]
LSTM_EPS_ADABELIEF = [1e-16, 5e-15, 1e-14, 5e-13, 1e-12, 5e-11, 1e-10, 5e-9, 1e-8, 5e-7, 1e-6]
GAN_ALPHA = [*_decimals(1, 2, exponents=range(-5, -1)), 0.1]
GAN_ALPHA_SGD = [*_decimals(1, 2, exponents=range(-6, 0)), 1.0]
COUPLING = [2.0**exponent for exponent in range(-10, 3)]

CATALOG: dict[str, PublishedSpace] = {
    "avagrad-cifar": PublishedSpace(
        SearchSpace([Axis("alpha", CIFAR_ALPHA), Axis("eps", CIFAR_EPS)]),
        "AvaGrad, section 5.1 and Figure 1",
        "21 x 21 cells; every optimum the paper reports for CIFAR lies on it",
    ),
    "avagrad-cifar-sgd": PublishedSpace(
        SearchSpace([Axis("alpha", CIFAR_ALPHA)]),
        "AvaGrad, section 5.1",
        "the learning rates of avagrad-cifar, as used for SGD; the paper found 0.1 best",
    ),
    "avagrad-lstm": PublishedSpace(
        SearchSpace([Axis("alpha", LSTM_ALPHA), Axis("eps", LSTM_EPS)]),
        "AvaGrad, section 5.2",
        "eps is printed as {1e-8, 5e-7, ..., 100} and read here as 1e-8, 5e-7, 1e-6, 5e-5, ..., 1, 50, 100",
    ),
    "avagrad-lstm-adabelief": PublishedSpace(
        SearchSpace([Axis("alpha", LSTM_ALPHA), Axis("eps", LSTM_EPS_ADABELIEF)]),
        "AvaGrad, section 5.2",
        "avagrad-lstm with every eps smaller by 1e-8, for AdaBelief",
    ),
    "avagrad-gan": PublishedSpace(
        SearchSpace([Axis("alpha", GAN_ALPHA), Axis("eps", [1e-8, 1e-6, 1e-4])]),
        "AvaGrad, section 5.3",
        "9 x 3 cells; Adam was best at alpha = 2e-4, eps = 1e-6",
    ),
    "avagrad-gan-sgd": PublishedSpace(
        SearchSpace([Axis("alpha", GAN_ALPHA_SGD)]),
        "AvaGrad, section 5.3",
        "the 13 learning rates used for SGD",
    ),
    "apollo-lr": PublishedSpace(
        SearchSpace([Axis("factor", [0.2, 1.0, 2.0, 10.0])]),
        "Apollo, Figure 2 (both versions)",
        "times a base learning rate: SGD 0.1, Adam and RAdam 0.001, Apollo 0.5 (2020) or 0.01 (2021); "
        "the weight decay rate is divided by the factor",
    ),
    "apollo-coupling": PublishedSpace(
        SearchSpace([Axis("eta", COUPLING), Axis("sigma", COUPLING)]),
        "Apollo, Theorem 1; the grid is ours, as the paper tests none",
        "powers of two, so that eta/sigma is the same float along each diagonal",
    ),
    "apollo-weight-decay": PublishedSpace(
        SearchSpace([Axis("gamma", [float(f"{digit}e-4") for digit in range(1, 10)])]),
        "Apollo (2020), appendix C.2 and Figure 4",
        "rates of SGD and Apollo, Adam's are 500 times these; the paper gives the range, the steps are ours",
    ),
    "adal-lr": PublishedSpace(
        SearchSpace([Axis("alpha", [1e-4, 1e-3, 1e-2])]),
        "AdaL, section 3",
        "the learning rates searched for image classification",
    ),
}


def get_space(name: str) -> SearchSpace:
    """The published space called `name`.

    Raises:
        SpaceError: `CATALOG` has no such name; the message names the nearest and all of them.
    """
    if name not in CATALOG:
        raise SpaceError(
            f"unknown search space {name!r}{nearest_name(name, CATALOG)}: known are {', '.join(CATALOG)}"
        )
    return CATALOG[name].space
