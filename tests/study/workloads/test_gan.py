"""The GAN on images, and the Fréchet feature distance that it is tuned for."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.training.block import Block, Recipe
from study.training.trainer import Trainer
from study.workloads import WORKLOADS, WorkloadError
from study.workloads.data.image_set import image_set
from study.workloads.features import (
    GRID,
    classifier,
    frechet_distance,
    mean_and_covariance,
    moments,
    scaled,
    trained,
)
from study.workloads.gan import GanWorkload
from study.workloads.workload import turns_of


@functools.cache
def workload() -> GanWorkload:
    made = WORKLOADS["dcgan"]()
    assert isinstance(made, GanWorkload)
    return made


def test_the_distance_is_the_closed_form_of_two_gaussians() -> None:
    source = np.random.default_rng(0)
    means = source.normal(size=(2, 6))
    roots = source.normal(size=(2, 6, 6))
    roots[1, :, 3:] = 0  # a singular covariance
    one, other = roots @ roots.transpose(0, 2, 1)
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(
        one + other - 2 * scipy.linalg.sqrtm(one @ other).real
    )
    given = [torch.from_numpy(part) for part in (means[0], one, means[1], other)]
    assert frechet_distance(*given).item() == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(given[0], given[1], given[0], given[1]).item() == pytest.approx(0, abs=1e-9)
    # of one number: (m - m')^2 + (s - s')^2
    line = [torch.tensor(value, dtype=torch.float64) for value in ([1.0], [[4.0]], [3.0], [[9.0]])]
    assert frechet_distance(*line).item() == pytest.approx(5)
    assert frechet_distance(given[0] * torch.nan, *given[1:]).isnan()


def test_moments_are_numpys_mean_and_covariance() -> None:
    features = torch.randn(50, 4) + 100
    mean, covariance = mean_and_covariance(*moments(features), 50)
    np.testing.assert_allclose(mean, features.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features.double().numpy().T), rtol=1e-8)


def test_the_classifier_knows_the_digits_and_its_weights_are_kept_and_rounded() -> None:
    images = image_set("digits")
    found = classifier(images)
    features = found.features(scaled(images.train[0], 16))
    scores = F.linear(features, found.weights["output.weight"], found.weights["output.bias"])
    assert (scores.argmax(1) != images.train[1]).float().mean() < 0.05
    assert all(torch.equal((w / GRID).round() * GRID, w) for w in found.weights.values())
    assert classifier(images).sha256 == found.sha256
    # as on processors with AVX2 and without it: another hash is another distance
    assert found.sha256 == "3d42ff9ca2f08fb53805aefce60399c7b52f816968537644ea1afeee1df199f6"


def test_its_weights_depend_on_the_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on torch's generator nor on the order of adding: a step's batch reversed changes last bits only."""
    monkeypatch.setattr("study.workloads.features.STEPS", 10)
    images = image_set("digits")
    torch.manual_seed(5)
    one = trained(classifier(images).network, images)
    randint = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *given, **more: randint(*given, **more).flip(0))
    other = trained(classifier(images).network, images)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_real_images_are_far_nearer_to_real_ones_than_noise_is() -> None:
    images = image_set("digits")
    pixels = scaled(images.train[0], 16)
    real, others = pixels[::2], pixels[1::2]
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    gaussians = [
        mean_and_covariance(*moments(classifier(images).features(each)), len(each))
        for each in (real, others, noise)
    ]
    near, far = (frechet_distance(*gaussians[0], *each).item() for each in gaussians[1:])
    assert near < 0.02 * far
    assert far > 100


def test_the_discriminator_takes_two_steps_on_images_of_their_own() -> None:
    params = workload().init(0)[0]
    turns = turns_of(workload(), params)
    assert [(turn.optimizer, turn.place, turn.of) for turn in turns] == [(0, 0, 2), (0, 1, 2), (1, 0, 1)]
    assert [turn.count(torch.tensor(3.0)).item() for turn in turns] == [5, 6, 3]
    one, other = next(workload().batches(0))
    assert one.shape == other.shape == (32, 1, 8, 8)
    assert not torch.equal(one, other)


def test_held_out_images_are_not_trained_on() -> None:
    train, held_out = workload()._places(1)
    assert len(held_out) == round(0.2 * 1797)
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(1797))
    z, real = (torch.cat(parts) for parts in zip(*workload().evaluation(1, "validation"), strict=True))
    assert (len(z), len(real)) == (359, 359)
    assert workload().evaluation(1, "test") == []


class Colours(nn.Module):
    """Stands for an Inception: what it makes of an image can be worked out, its mean and its range."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return torch.stack([flat.mean(1) * self.scale, flat.amax(1)], 1)


@pytest.fixture
def inception(tmp_path: Path) -> str:
    """A file as a user makes it."""
    path, many = tmp_path / "inception.pt2", torch.export.Dim("n", min=2)
    program = torch.export.export(Colours(), (torch.rand(4, 3, 8, 8),), dynamic_shapes=({0: many},))
    torch.export.save(program, path)
    return str(path)


def test_with_a_users_network_it_is_the_frechet_inception_distance(inception: str) -> None:
    made = WORKLOADS["dcgan"](inception=inception)
    assert isinstance(made, GanWorkload)
    assert made.metric == "validation_fid"
    params, carry = made.init(0)
    real = made._images.train[0][made._places(0)[1]].numpy() / 16
    z = torch.cat([latent for latent, _ in made.evaluation(0, "validation")])
    generator = made._make[0]().eval()
    tensors = params | carry
    own = {name.removeprefix("generator."): w for name, w in tensors.items() if name.startswith("generator.")}
    with torch.no_grad():
        fakes = (torch.func.functional_call(generator, own, (z,)).numpy() + 1) / 2
    means, covariances = [], []
    for images in (real, fakes):
        flat = images.reshape(len(images), -1).astype(float)
        features = np.stack([2 * flat.mean(1), flat.max(1)], 1)
        means.append(features.mean(0))
        covariances.append(np.cov(features.T))
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert made.worst == pytest.approx(expected, rel=1e-4)
    other = WORKLOADS["dcgan"]()
    assert made.data_hash() != other.data_hash()


def test_it_trains_fused_and_alone_with_a_users_network(inception: str) -> None:
    settings = json.dumps({"inception": inception, "latent": 4, "width": 4, "batch": 16})
    found = []
    for method in ("fused", "one-by-one"):
        recipe = Recipe(
            "dcgan", "adam", steps=6, settings=settings, dtype="float64", method=method, compile=False
        )
        block = Block(recipe, 0, {"lr": np.array([1e-3, 1e-2])})
        found.append(Trainer(2, compile=False).train(block).metrics["validation_fid"])
    fused, alone = found
    np.testing.assert_allclose(fused, alone, rtol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inception": "nowhere.pt2"}, "inception = 'nowhere.pt2' cannot be read"),
        ({"inception": __file__}, "cannot be read .*: give a file of torch.export.save"),
        ({"layers": 4}, "layers = 4 does not fit images of 8x8 pixels"),
        ({"latent": 0}, "latent = 0 is not allowed"),
        ({"validation": 1}, "validation = 1 is not allowed"),
        ({"batch": 1000}, "batch = 1000 do not fit 1,797 images"),
        ({"data": "nowhere"}, "'nowhere' is no folder"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        WORKLOADS["dcgan"](**settings)
