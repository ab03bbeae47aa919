"""The published spaces have the sizes and hold the optima that their papers report."""

import tomllib

import numpy as np
import pytest

from search_spaces import CATALOG, SearchSpace, SpaceError, get_space


@pytest.mark.parametrize(
    ("name", "axes", "shape"),
    [
        ("avagrad-cifar", ("alpha", "eps"), (21, 21)),
        ("avagrad-cifar-sgd", ("alpha",), (21,)),
        ("avagrad-lstm", ("alpha", "eps"), (11, 11)),
        ("avagrad-lstm-adabelief", ("alpha", "eps"), (11, 11)),
        ("avagrad-gan", ("alpha", "eps"), (9, 3)),
        ("avagrad-gan-sgd", ("alpha",), (13,)),
        ("apollo-lr", ("factor",), (4,)),
        ("apollo-coupling", ("eta", "sigma"), (13, 13)),
        ("apollo-weight-decay", ("gamma",), (9,)),
        ("adal-lr", ("alpha",), (3,)),
    ],
)
def test_names_and_shapes(name: str, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
    space = get_space(name)
    assert space.names == axes
    assert space.shape == shape


def test_every_published_space_is_listed_above_and_has_a_source() -> None:
    assert len(CATALOG) == 10
    for published in CATALOG.values():
        assert published.source
        assert published.note
        assert "\n" not in published.note
        assert SearchSpace.from_table(published.space.to_table()) == published.space


def test_avagrad_cifar_is_the_grid_of_section_5_1() -> None:
    space = get_space("avagrad-cifar")
    alpha, eps = space.axes
    assert space.size == 441
    assert alpha.values[:4] == (5e-7, 1e-6, 5e-6, 1e-5)
    assert alpha.values[-3:] == (500.0, 1000.0, 5000.0)
    assert eps.values[:4] == (1e-8, 2e-8, 1e-7, 2e-7)
    assert eps.values[-3:] == (10.0, 20.0, 100.0)
    assert (alpha.scale, eps.scale) == ("log", "log")


@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("avagrad-cifar", (0.1, 0.1)),  # Adam and AMSGrad, section 5.1
        ("avagrad-cifar", (1.0, 10.0)),  # AvaGrad, sections 5.1 and 6
        ("avagrad-cifar", (1e-3, 1e-8)),  # Adam's defaults
        ("avagrad-cifar-sgd", (0.1,)),  # section 5.1
        ("avagrad-gan", (2e-4, 1e-6)),  # Adam, section 5.3
        ("apollo-coupling", (0.5, 1.0)),  # Apollo (2020), appendix B.1
    ],
)
def test_reported_optima_lie_on_the_grid(name: str, optimum: tuple[float, ...]) -> None:
    space = get_space(name)
    assert tuple(space.index_to_value(space.value_to_index([optimum]))[0]) == optimum


def test_adabelief_has_every_eps_smaller_by_1e_8() -> None:
    plain, adabelief = get_space("avagrad-lstm"), get_space("avagrad-lstm-adabelief")
    assert adabelief.axes[0] == plain.axes[0]
    np.testing.assert_allclose(adabelief.axes[1].values, np.array(plain.axes[1].values) * 1e-8, rtol=1e-14)


def test_apollo_coupling_has_one_ratio_on_each_diagonal() -> None:
    cells = get_space("apollo-coupling").cells().reshape(13, 13, 2)
    ratios = cells[..., 0] / cells[..., 1]
    for offset in range(-12, 13):
        assert set(np.diagonal(ratios, offset)) == {2.0**-offset}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    message = (
        r"unknown search space 'avagrad-cifr' \(did you mean 'avagrad-cifar'\?\): known are avagrad-cifar, "
    )
    with pytest.raises(SpaceError, match=message):
        get_space("avagrad-cifr")


def test_avagrad_cifar_can_be_written_as_toml() -> None:
    lines = [f"{name} = {values}" for name, values in get_space("avagrad-cifar").to_table().items()]
    assert SearchSpace.from_table(tomllib.loads("\n".join(lines))) == get_space("avagrad-cifar")
