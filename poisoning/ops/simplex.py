"""Least squares with convex coefficients: the nearest point of a polytope.

Convex Polytope needs, at every step and for every surrogate of every trial,

    c* = argmin_c 1/2 || sum_j c_j a_j - b ||_2^2   s.t.  c >= 0, sum_j c_j = 1.

With G = A A' and h = A b the features drop out: 1/2 c'Gc - h'c (+ 1/2 b'b), a problem in J
unknowns only. Two solvers take all problems at once, in float64, and reach the same coefficients,
zeros included:

- ``solve_by_pivots``, for a processor: it looks at the signs after every round and is done after
  a few; what does not end so is left to ``solve_active_set``, one problem at a time;
- ``solve``, for a GPU: an interior-point method (Mehrotra, "On the implementation of a primal-dual
  interior point method", SIAM J. Optim. 1992) with a fixed number of steps and no host
  synchronisation.
"""

import numpy as np
import torch
from torch import Tensor

STEPS = 16  # of the interior; to the last bit, real features take 12, points 1e-4 apart 15
SHORT = 0.995  # of the way to the nearest bound
RIDGE = 1e-13  # on G of size 1, so that points that repeat have a factor
FLOOR = 1e-60  # what has shrunk so far is zero, and stays a number
ROUNDS = 40  # of pivots; an ordinary problem takes 2 to 5
ON_FACE = 1e-12  # the ridge of the exact solvers, on the largest diagonal entry of G
SLACK = 1e-13  # a price that is negative by less is 0


def gram(points: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """G [..., J, J] and h [..., J] of points [..., J, D] and target [..., D], in float64."""
    a, b = points.double(), target.double()
    return a @ a.mT, (a @ b.unsqueeze(-1)).squeeze(-1)


def objective(g: Tensor, h: Tensor, c: Tensor) -> Tensor:
    """1/2 c'Gc - h'c of each problem [...]: the least-squares objective less 1/2 b'b."""
    return 0.5 * (c * _times(g, c)).sum(-1) - (h * c).sum(-1)


def solve(g: Tensor, h: Tensor) -> Tensor:
    """Coefficients c [..., J] of all problems at once, of G [..., J, J] and h [..., J].

    Kept feasible throughout: c > 0 with sum 1, and prices z = Gc - h - y > 0 of the bounds. Where
    the price outweighs the coefficient in the end, the coefficient is 0.
    """
    size = torch.maximum(g.diagonal(dim1=-2, dim2=-1).amax(-1), h.abs().amax(-1))
    size = size.clamp_min(torch.finfo(g.dtype).tiny).unsqueeze(-1)
    g, h = g / size.unsqueeze(-1), h / size
    c = torch.full_like(h, 1 / h.shape[-1])
    gradient = _times(g, c) - h
    z = gradient - gradient.amin(-1, keepdim=True) + c
    for _ in range(STEPS):
        c, z = _toward(g, c, z)
    c = torch.where(c > z, c, 0)
    return c / c.sum(-1, keepdim=True)


def _toward(g: Tensor, c: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """One step of predictor and corrector, from c [..., J] and z [..., J] to the next ones."""
    factor = torch.linalg.cholesky_ex(g + torch.diag_embed(z / c + RIDGE)).L
    by_price = torch.cholesky_solve(torch.ones_like(c).unsqueeze(-1), factor).squeeze(-1)
    share = by_price.sum(-1, keepdim=True)

    def newton(rest: Tensor) -> tuple[Tensor, Tensor]:
        """The steps of c and z with z dc + c dz = rest and sum dc = 0."""
        by_rest = torch.cholesky_solve((rest / c).unsqueeze(-1), factor).squeeze(-1)
        dc = by_rest - by_rest.sum(-1, keepdim=True) / share * by_price
        return dc, (rest - z * dc) / c

    dc, dz = newton(-c * z)
    gap = (c * z).mean(-1, keepdim=True)
    predicted = ((c + _room(c, dc) * dc) * (z + _room(z, dz) * dz)).mean(-1, keepdim=True)
    dc, dz = newton((predicted / gap) ** 3 * gap - c * z - dc * dz)
    step = SHORT * torch.minimum(_room(c, dc), _room(z, dz))
    return (c + step * dc).clamp_min(FLOOR), (z + step * dz).clamp_min(FLOOR)


def _room(value: Tensor, change: Tensor) -> Tensor:
    """The largest step, at most 1, that leaves value + step * change at 0 or above, [..., 1]."""
    return torch.where(change < 0, -value / change, torch.inf).amin(-1, keepdim=True).clamp_max(1)


def _times(g: Tensor, c: Tensor) -> Tensor:
    return (g @ c.unsqueeze(-1)).squeeze(-1)


def solve_by_pivots(g: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The exact coefficients c [T, J] of T problems, of G [T, J, J] and h [T, J].

    Block principal pivoting (Judice and Pires, "A block principal pivoting algorithm for
    large-scale strictly monotone linear complementarity problems", Comput. Oper. Res. 1994):
    minimise over the free coefficients alone; then all that came out negative leave, and all that
    the gradient wants enter, at once. Right signs everywhere are the optimum, of which c is the
    minimiser on its face: the way there leaves no trace. It may go round in circles, mostly where
    there are more points than features; hence the limit.
    """
    size = np.maximum(g.diagonal(0, 1, 2).max(1), np.abs(h).max(1)).clip(np.finfo(h.dtype).tiny)
    a, b, own = g / size[:, None, None], h / size[:, None], np.arange(h.shape[1])
    a[:, own, own] += ON_FACE
    left, free, c = np.arange(len(h)), np.ones(h.shape, bool), np.empty_like(h)
    for _ in range(ROUNDS):
        best, price = _on_faces(a, b, free)
        reduced = (a @ best[:, :, None])[:, :, 0] - b - price
        is_wrong = np.where(free, best < 0, reduced < -SLACK)
        is_done = ~is_wrong.any(1)
        c[left[is_done]] = best[is_done]
        if is_done.all():
            return c
        a, b = a[~is_done], b[~is_done]
        left, free = left[~is_done], (free ^ is_wrong)[~is_done]
    for t in left:
        c[t] = solve_active_set(g[t], h[t])
    return c


def _on_faces(g: np.ndarray, h: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimisers [T, J] with only the ``free`` coefficients and sum 1; and the multipliers of the
    sum [T, 1]. Rows and columns of the others are those of the identity.
    """
    m, own = free.astype(h.dtype), np.arange(h.shape[1])
    face = g * (m[:, :, None] * m[:, None, :])
    face[:, own, own] += 1 - m
    solved = np.linalg.solve(face, np.stack([h * m, m], 2))
    by_h, by_sum = solved[:, :, 0], solved[:, :, 1]
    price = (1 - by_h.sum(1, keepdims=True)) / by_sum.sum(1, keepdims=True)
    return by_h + price * by_sum, price


def solve_active_set(g: np.ndarray, h: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """The exact coefficients c [J] of one problem: a primal active-set method in float64.

    Nocedal and Wright, Numerical Optimization, algorithm 16.3, with one equality and J bounds.
    ``start`` must lie on the simplex. A ridge of 1e-12 of the largest diagonal entry keeps a
    singular G (more points than features) solvable; it moves the objective by less than that.
    """
    j = len(h)
    g = g + np.eye(j) * (ON_FACE * max(float(np.diag(g).max()), 1e-280))
    c = np.full(j, 1 / j) if start is None else start.astype(np.float64)
    free = c > 0
    for _ in range(50 * j + 50):
        best, price = _on_face(g, h, free)
        step = best - c
        blocking = free & (best < 0)
        if not blocking.any():
            c = best
            reduced = g @ c - h - price
            entering = int(np.argmin(np.where(free, np.inf, reduced)))
            if free.all() or reduced[entering] >= -SLACK * float(np.abs(h).max()):
                return c
            free[entering] = True
            continue
        ratios = np.where(blocking, c / np.maximum(-step, 1e-300), np.inf)
        leaving = int(np.argmin(ratios))
        c = np.maximum(c + ratios[leaving] * step, 0)
        c[leaving] = 0
        free[leaving] = False
    return c


def _on_face(g: np.ndarray, h: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, float]:
    """Minimiser with only the ``free`` coefficients and sum 1; and the equality's multiplier."""
    index = np.flatnonzero(free)
    solved = np.linalg.solve(g[np.ix_(index, index)], np.stack([h[index], np.ones(len(index))], 1))
    price = (1 - solved[:, 0].sum()) / solved[:, 1].sum()
    c = np.zeros(len(h))
    c[index] = solved[:, 0] + price * solved[:, 1]
    return c, float(price)


def coefficients(points: Tensor, target: Tensor) -> Tensor:
    """The c [T, J] that bring each trial's points [T, J, D] nearest to its target [T, D].

    On a processor by pivots; elsewhere by the interior, where a look at the device would cost more
    than the problem.
    """
    g, h = gram(points, target)
    if points.device.type != "cpu":
        return solve(g, h).to(points)
    return torch.from_numpy(solve_by_pivots(g.numpy(), h.numpy())).to(points)
