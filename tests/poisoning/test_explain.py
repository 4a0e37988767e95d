"""The plane of an explanation, its distances, and how curves are thinned out."""

import pytest
import torch

from poisoning import explain
from poisoning.events import Explanation


@pytest.fixture
def classes():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60, 6, generator=generator) * torch.tensor([0.1, 0.1, 2.0, 0.1, 0.1, 0.1])
    base_class, target_class = noise[:30].clone(), noise[30:].clone()
    base_class[:, 0] += 5
    target_class[:, 0] -= 5
    return base_class, target_class


def test_the_first_axis_joins_the_centroids_and_the_second_is_what_varies_most(classes):
    base_class, target_class = classes
    axes, origin = explain.plane(base_class, target_class, torch.empty(0, 6))
    assert torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)
    joined = base_class.mean(0) - target_class.mean(0)
    assert torch.allclose(axes[0], joined / joined.norm(), atol=1e-6)
    assert axes[1][2].abs() > 0.99
    assert torch.allclose(origin, (base_class.mean(0) + target_class.mean(0)) / 2, atol=1e-6)


def test_distances_are_those_of_a_plain_computation(classes):
    base_class, target_class = classes
    target, bases, poisons = target_class[0], base_class[:4], (base_class[:4] + target_class[0]) / 2
    found = explain.explain(target, bases, poisons, base_class, target_class)
    length = target.norm()
    assert found.distance_before == pytest.approx(float((bases.mean(0) - target).norm() / length))
    assert found.distance_after == pytest.approx(found.distance_before / 2, rel=1e-5)
    nearest = min(float((b - target).norm() / length) for b in bases)
    assert found.nearest_before == pytest.approx(nearest, rel=1e-5)
    assert found.nearest_after == pytest.approx(nearest / 2, rel=1e-5)
    # half way in space is half way on the page
    for base, poison in zip(found.bases, found.poisons, strict=True):
        for axis in range(2):
            assert poison[axis] == pytest.approx((base[axis] + found.target[axis]) / 2, abs=2e-4)
    assert found.target[0] < 0 < min(point[0] for point in found.base_class)


def test_an_empty_class_and_equal_features_still_have_a_plane():
    same = torch.ones(3, 4)
    found = explain.explain(same[0], same, same, torch.empty(0, 4), torch.empty(0, 4))
    assert found.class_distance is None
    assert found.distance_after == 0
    assert all(abs(value) < 1e6 for point in found.poisons for value in point)


@pytest.mark.parametrize(("epochs", "kept"), [(0, 0), (1, 1), (50, 50), (51, 50), (200, 50)])
def test_a_long_curve_keeps_its_ends(epochs, kept):
    curve = explain.thin_out([float(e) for e in range(epochs)])
    assert len(curve) == kept
    if epochs:
        assert curve[0] == (1, 0.0) and curve[-1] == (epochs, float(epochs - 1))
    assert list(curve) == sorted(set(curve))
    assert [epoch - 1 for epoch, _ in curve] == [
        epoch for epoch, _ in explain.thin_out([float(e) for e in range(epochs)], first=0)
    ]


def test_what_an_earlier_version_stored_is_still_read(classes):
    base_class, target_class = classes
    found = explain.explain(target_class[0], base_class[:4], base_class[4:8], *classes)
    later = {"distances", "nearest", "twin_distances", "before"}
    stored = found.model_dump(mode="json", exclude=later)
    assert Explanation.model_validate(stored) == found
