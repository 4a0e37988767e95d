"""Least squares on the simplex: the solvers against SciPy, every face, and each other."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from poisoning.ops import simplex


def problems(count: int, points: int, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Post-ReLU features around a common centre, as those of poisons of one class are."""
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    centre = normal(count, 1, features)
    a = (centre + 0.3 * normal(count, points, features)).relu()
    return a, (0.5 * normal(count, features) + centre[:, 0]).relu()


def by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    j = len(a)
    found = minimize(
        lambda c: 0.5 * ((c @ a - b) ** 2).sum(),
        np.full(j, 1 / j),
        jac=lambda c: a @ (c @ a - b),
        constraints={"type": "eq", "fun": lambda c: c.sum() - 1},
        bounds=[(0, 1)] * j,
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    return float(found.fun)


@pytest.mark.parametrize(("points", "features"), [(1, 8), (5, 64), (25, 128), (25, 10)])
def test_all_solvers_reach_scipys_optimum(points: int, features: int) -> None:
    a, b = problems(6, points, features)
    g, h = simplex.gram(a, b)
    together, pivoted = simplex.solve(g, h), simplex.solve_by_pivots(g.numpy(), h.numpy())
    half_bb = 0.5 * (b * b).sum(-1)
    for i in range(len(a)):
        exact = simplex.solve_active_set(g[i].numpy(), h[i].numpy())
        for c in (exact, pivoted[i]):
            assert c.min() >= 0
            assert c.sum() == pytest.approx(1, abs=1e-10)
        want = by_scipy(a[i].numpy(), b[i].numpy())
        scale = max(want, 1e-6 * float(half_bb[i]))
        for c in (torch.from_numpy(exact), torch.from_numpy(pivoted[i]), together[i]):
            value = float(simplex.objective(g[i], h[i], c) + half_bb[i])
            assert value <= want + 1e-6 * scale


def test_a_target_inside_the_polytope_is_reached() -> None:
    a, _ = problems(1, 6, 32)
    c = torch.tensor([0.5, 0.3, 0.2, 0, 0, 0], dtype=torch.float64)
    g, h = simplex.gram(a[0], c @ a[0])
    np.testing.assert_allclose(simplex.solve_active_set(g.numpy(), h.numpy()), c, atol=1e-6)
    np.testing.assert_allclose(simplex.solve(g, h), c, atol=1e-6)


def test_a_warm_start_gives_the_same_coefficients() -> None:
    a, b = problems(1, 25, 64)
    g, h = simplex.gram(a[0], b[0])
    cold = simplex.solve_active_set(g.numpy(), h.numpy())
    warm = simplex.solve_active_set(g.numpy(), h.numpy(), start=np.roll(cold, 3))
    np.testing.assert_allclose(warm, cold, atol=1e-8)


def test_twice_the_same_point_is_no_obstacle() -> None:
    a, b = problems(1, 4, 16)
    doubled = torch.cat([a[0], a[0]])
    g, h = simplex.gram(doubled, b[0])
    c = simplex.solve_active_set(g.numpy(), h.numpy())
    want = by_scipy(a[0].numpy(), b[0].numpy())
    value = float(simplex.objective(g, h, torch.from_numpy(c)) + 0.5 * (b[0] * b[0]).sum())
    assert value == pytest.approx(want, rel=1e-6)


def by_every_face(g: np.ndarray, h: np.ndarray) -> float:
    """The lowest objective among the minimisers of all faces that lie on the simplex."""
    lowest, j = np.inf, len(h)
    for count in range(1, j + 1):
        for face in map(list, itertools.combinations(range(j), count)):
            system = np.ones((count + 1, count + 1))
            system[:count, :count], system[count, count] = g[np.ix_(face, face)], 0
            c = np.linalg.solve(system, np.append(h[face], 1))[:count]
            if c.min() >= 0:
                lowest = min(lowest, 0.5 * c @ g[np.ix_(face, face)] @ c - h[face] @ c)
    return float(lowest)


def test_pivots_find_the_best_of_all_faces() -> None:
    for points in (1, 2, 3, 6):
        a, b = problems(12, points, 32)
        g, h = simplex.gram(a, b)
        found = torch.from_numpy(simplex.solve_by_pivots(g.numpy(), h.numpy()))
        half_bb = 0.5 * (b * b).sum(-1)
        for i, value in enumerate(simplex.objective(g, h, found) + half_bb):
            want = by_every_face(g[i].numpy(), h[i].numpy()) + float(half_bb[i])
            assert float(value) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("rounds", [0, 1, 2, simplex.ROUNDS])
@pytest.mark.parametrize(("points", "features"), [(25, 128), (60, 64), (25, 10)])
def test_pivots_agree_with_one_active_set_after_the_other(
    points: int, features: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they end by themselves or are cut short."""
    monkeypatch.setattr(simplex, "ROUNDS", rounds)
    a, b = problems(8, points, features)
    g, h = (x.numpy() for x in simplex.gram(a, b))
    alone = np.stack([simplex.solve_active_set(*each) for each in zip(g, h, strict=True)])
    found = simplex.solve_by_pivots(g, h)
    if points <= features:
        np.testing.assert_allclose(found, alone, atol=1e-8)
        assert ((found == 0) == (alone == 0)).all()
    mine, best = (((c[:, None] @ a.numpy())[:, 0] - b.numpy()) for c in (found, alone))
    allowed = 1e-6 * (best**2).sum(1) + 1e-12 * (b.numpy() ** 2).sum(1)
    assert ((mine**2).sum(1) <= (best**2).sum(1) + allowed).all()
    each = [simplex.solve_by_pivots(g[t : t + 1], h[t : t + 1]) for t in range(8)]
    np.testing.assert_array_equal(found, np.concatenate(each))  # whatever it is batched with


def test_points_without_features_have_coefficients_too() -> None:
    g, h = np.zeros((2, 3, 3)), np.zeros((2, 3))
    np.testing.assert_allclose(simplex.solve_by_pivots(g, h), 1 / 3)
    np.testing.assert_allclose(simplex.solve_active_set(g[0], h[0]), 1 / 3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("alike", [1.0, 1e-2, 1e-4])
def test_the_batched_solvers_agree_with_the_exact_one(alike: float, scale: float) -> None:
    """From points far apart to points that differ in the fourth digit, one of them twice."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for points in (1, 2, 5, 25):
        centre = normal(8, 1, 64)
        a = (centre + alike * normal(8, points, 64)).relu() * scale
        a[:, -1] = a[:, 0]
        b = (centre[:, 0] + 2 * alike * normal(8, 64)).relu() * scale
        g, h = simplex.gram(a, b)
        together = simplex.solve(g, h)
        pivoted = torch.from_numpy(simplex.solve_by_pivots(g.numpy(), h.numpy()))
        for found in (together, pivoted):
            assert torch.allclose(found.sum(-1), torch.ones(8, dtype=torch.float64), atol=1e-12)
        for i in range(8):
            exact = torch.from_numpy(simplex.solve_active_set(g[i].numpy(), h[i].numpy()))
            best = (exact @ a[i] - b[i]).square().sum().item()
            for c in (together[i], pivoted[i]):
                assert (c @ a[i] - b[i]).square().sum().item() == pytest.approx(best, rel=1e-6)


def test_the_batched_solver_leaves_out_the_same_points() -> None:
    a, b = problems(6, 25, 128)
    g, h = simplex.gram(a, b)
    together = simplex.solve(g, h)
    for i in range(6):
        exact = simplex.solve_active_set(g[i].numpy(), h[i].numpy())
        assert ((exact == 0) == (together[i].numpy() == 0)).all()
        np.testing.assert_allclose(together[i], exact, atol=1e-8)
