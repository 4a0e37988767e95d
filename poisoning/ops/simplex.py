"""Points of the probability simplex: projection, and least squares with convex coefficients.

Convex Polytope needs, at every step and for every surrogate of every trial,

    c* = argmin_c 1/2 || sum_j c_j a_j - b ||_2^2   s.t.  c >= 0, sum_j c_j = 1.

With G = A A' and h = A b the features drop out: 1/2 c'Gc - h'c (+ 1/2 b'b), a problem in J
unknowns only. ``solve_active_set`` is exact, in float64, one problem at a time; ``solve`` is the
batched form, accelerated projected gradient with function restarts (O'Donoghue and Candes 2015),
without a single host synchronisation.
"""

import numpy as np
import torch
from torch import Tensor


def project(y: Tensor) -> Tensor:
    """Euclidean projection of the rows of ``y`` [..., J] onto the simplex, by sorting.

    Held, Wolfe and Crowder 1974; Duchi et al., ICML 2008, algorithm 1.
    """
    u = y.sort(dim=-1, descending=True).values
    excess = u.cumsum(-1) - 1
    count = torch.arange(1, y.shape[-1] + 1, device=y.device, dtype=y.dtype)
    rho = (u * count > excess).sum(-1, keepdim=True)
    theta = excess.gather(-1, rho - 1) / rho.to(y.dtype)
    return (y - theta).clamp_min(0)


def gram(points: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """G [..., J, J] and h [..., J] of points [..., J, D] and target [..., D], in float64."""
    a, b = points.double(), target.double()
    return a @ a.mT, (a @ b.unsqueeze(-1)).squeeze(-1)


def objective(g: Tensor, h: Tensor, c: Tensor) -> Tensor:
    """1/2 c'Gc - h'c of each problem [...]: the least-squares objective less 1/2 b'b."""
    return 0.5 * (c * (g @ c.unsqueeze(-1)).squeeze(-1)).sum(-1) - (h * c).sum(-1)


def solve(g: Tensor, h: Tensor, start: Tensor | None = None, steps: int = 500) -> Tensor:
    """Coefficients c [..., J] of all problems at once; ``start`` warms them up.

    Step 1/L with L the largest eigenvalue of G, so no line search is needed. Momentum restarts,
    per problem, whenever the objective rises.
    """
    c = torch.full_like(h, 1 / h.shape[-1]) if start is None else start.to(h)
    lipschitz = torch.linalg.eigvalsh(g)[..., -1:].clamp_min(torch.finfo(g.dtype).tiny)
    y, t = c, torch.ones_like(h[..., :1])
    value = objective(g, h, c).unsqueeze(-1)
    for _ in range(steps):
        gradient = (g @ y.unsqueeze(-1)).squeeze(-1) - h
        ahead = project(y - gradient / lipschitz)
        value_ahead = objective(g, h, ahead).unsqueeze(-1)
        rises = value_ahead > value
        t_next = (1 + (1 + 4 * t * t).sqrt()) / 2
        y = torch.where(rises, c, ahead + (t - 1) / t_next * (ahead - c))
        t = torch.where(rises, torch.ones_like(t), t_next)
        c, value = torch.where(rises, c, ahead), torch.minimum(value, value_ahead)
    return c


def solve_active_set(g: np.ndarray, h: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """The exact coefficients c [J] of one problem: a primal active-set method in float64.

    Nocedal and Wright, Numerical Optimization, algorithm 16.3, with one equality and J bounds.
    ``start`` must lie on the simplex. A ridge of 1e-12 of the largest diagonal entry keeps a
    singular G (more points than features) solvable; it moves the objective by less than that.
    """
    j = len(h)
    g = g + np.eye(j) * (1e-12 * max(float(np.diag(g).max()), 1e-300))
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
            if free.all() or reduced[entering] >= -1e-12 * max(1.0, float(np.abs(h).max())):
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

    On a processor one exact problem after the other; elsewhere all at once, where a look at the
    device would cost more than the problem.
    """
    g, h = gram(points, target)
    if points.device.type != "cpu":
        return solve(g, h).to(points)
    exact = [solve_active_set(*problem) for problem in zip(g.numpy(), h.numpy(), strict=True)]
    return torch.from_numpy(np.stack(exact)).to(points)
