"""The plain ways: what a script for a single trial does, written as the papers and the benchmark
describe it, with nothing saved.

The network is contiguous and its parameters want gradients, so that ``backward`` computes them
though nobody reads them; a target goes through the network again at every step; everything is
normalised by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from poisoning.models import Network

Normalize = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ball:
    """Within eps of the bases, pixels in [0, 1]."""

    base: Tensor
    eps: float

    def nearest(self, x: Tensor) -> Tensor:
        x = torch.max(torch.min(x, self.base + self.eps), self.base - self.eps)
        return x.clamp(0, 1)


def feature_collision(
    net: Network, normalize: Normalize, base: Tensor, target: Tensor, knobs: "Frogs"
) -> tuple[Tensor, int]:
    """One poison [1, C, H, W] by the corrected rule, and how often it was judged."""
    ball, size = Ball(base, knobs.eps), knobs.step_size
    x = ball.nearest((1 - knobs.watermark) * base + knobs.watermark * target)
    loss, grad = _collide(net, normalize, x, target)
    judged = 1
    for _ in range(knobs.steps):
        x_new = ball.nearest(x - size * grad)
        moved = (x_new - x).norm() / x.norm()
        loss_new, grad_new = _collide(net, normalize, x_new, target)
        judged += 1
        if loss_new <= loss:
            x, loss, grad = x_new, loss_new, grad_new
        else:
            size *= knobs.step_decay
        if moved < 1e-5:
            break
    return x, judged


def feature_collision_reference(
    net: Network, normalize: Normalize, base: Tensor, target: Tensor, knobs: "Frogs"
) -> Tensor:
    """One poison by the benchmark's rule: a refused one stays where it is, and is judged on."""
    ball, last = Ball(base, knobs.eps), 1e9
    x = (1 - knobs.watermark) * base + knobs.watermark * target
    for _ in range(knobs.steps):
        loss, grad = _collide(net, normalize, x, target)
        x_new = ball.nearest(x - knobs.step_size * grad)
        if loss > last:
            continue
        moved = (x_new - x).norm() / x.norm()
        x, last = x_new, loss
        if moved < 1e-5:
            break
    return x


@dataclass(frozen=True)
class Frogs:
    eps: float
    steps: int
    step_size: float
    step_decay: float
    watermark: float


def _collide(net: Network, normalize: Normalize, x: Tensor, target: Tensor) -> tuple[float, Tensor]:
    x = x.detach().requires_grad_()
    f = net.features(normalize(torch.cat([x, target])))
    loss = (f[0] - f[1]).square().sum()
    loss.backward()
    assert x.grad is not None
    return loss.item(), x.grad


def polytope(
    net: Network,
    normalize: Normalize,
    bases: Tensor,
    target: Tensor,
    eps: float,
    steps: int,
    rate: float,
    scale: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Poisons [J, C, H, W] by Adam in normalised units; ``distance`` of f [J, D] and f_t [D]."""
    ball = Ball(bases, eps)
    shift = -normalize(torch.zeros_like(bases[:1])) * scale
    z = torch.nn.Parameter(normalize(bases))
    optimizer = torch.optim.Adam([z], lr=rate)
    for _ in range(steps):
        with torch.no_grad():
            f_t = net.features(normalize(target))[0]
        loss = distance(net.features(z), f_t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            z.copy_(normalize(ball.nearest(z * scale + shift)))
    return (z * scale + shift).detach()


def bullseye(f: Tensor, f_t: Tensor) -> Tensor:
    return (f.mean(0) - f_t).norm() / f_t.norm()


class ConvexPolytope:
    """The distance of Convex Polytope; starts every solve from the last coefficients."""

    def __init__(self, poisons: int) -> None:
        self.c = torch.full((poisons,), 1 / poisons)

    def __call__(self, f: Tensor, f_t: Tensor) -> Tensor:
        self.c = least_squares_simplex(f.detach(), f_t, self.c)
        return 0.5 * (self.c @ f - f_t).square().sum() / f_t.square().sum()


def least_squares_simplex(points: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """argmin_c || sum_j c_j a_j - b || on the simplex by forward-backward splitting: a step of
    2/L, L from one power iteration; halved whenever the objective rises; until the coefficients
    move by less than 1e-6, or 10,000 times.
    """
    a = points.T
    step = 2 / ((a.T @ (a @ c)).norm() / c.norm()).item()
    value = (a @ c - target).norm().item()
    for _ in range(10_000):
        c_new = project(c - step * (a.T @ (a @ c - target)))
        value_new = (a @ c_new - target).norm().item()
        if value_new > value:
            step /= 2
            continue
        moved = (c_new - c).norm().item() / max(c.norm().item(), 1e-8)
        c, value = c_new, value_new
        if moved < 1e-6:
            break
    return c


def project(y: Tensor) -> Tensor:
    """Onto the simplex, by sorting."""
    u = y.sort(descending=True).values
    total = 0.0
    threshold = 0.0
    for count, value in enumerate(u.tolist(), 1):
        total += value
        if value - (total - 1) / count > 0:
            threshold = (total - 1) / count
    return (y - threshold).clamp(min=0)


def one_cell(distances: Tensor) -> Tensor:
    """The benchmark's pairing of J bases, literally: take the smallest cell, cross it out."""
    d, source = distances.clone(), torch.arange(len(distances))
    for _ in range(len(d)):
        row, column = divmod(int(d.argmin()), d.shape[1])
        source[column] = row
        d[row, column] = torch.inf
    return source


def row_and_column(distances: Tensor) -> Tensor:
    """The paper's: both partners of a pair leave."""
    d, source = distances.clone(), torch.arange(len(distances))
    for _ in range(len(d)):
        row, column = divmod(int(d.argmin()), d.shape[1])
        source[column] = row
        d[row, :] = d[:, column] = torch.inf
    return source


def hidden_trigger(
    net: Network,
    normalize: Normalize,
    bases: Tensor,
    stamped: Tensor,
    eps: float,
    steps: int,
    rate: float,
) -> Tensor:
    """Poisons [J, C, H, W], one to one with the stamped sources [J, C, H, W]."""
    ball, x = Ball(bases, eps), bases
    with torch.no_grad():
        f_s = net.features(normalize(stamped))
    for _ in range(steps):
        x = x.detach().requires_grad_()
        f = net.features(normalize(x))
        distances = (f_s[:, None] - f.detach()[None]).square().sum(2)
        loss = (f - f_s[row_and_column(distances)]).square().sum()
        loss.backward()
        assert x.grad is not None
        x = ball.nearest(x.detach() - rate * x.grad)
    return x


def clean_label(
    net: Network,
    normalize: Normalize,
    bases: Tensor,
    label: int,
    eps: float,
    steps: int,
    size: float,
    generator: torch.Generator,
) -> Tensor:
    """PGD from a uniform start, without the trigger."""
    ball, y = Ball(bases, eps), torch.full((len(bases),), label)
    x = ball.nearest(bases + eps * (2 * torch.rand(bases.shape, generator=generator) - 1))
    for _ in range(steps):
        x = x.detach().requires_grad_()
        loss = functional.cross_entropy(net(normalize(x)), y, reduction="sum")
        (g,) = torch.autograd.grad(loss, x)
        x = ball.nearest(x.detach() + size * g.sign())
    return x.detach()


def witches_brew(
    net: Network,
    z: Tensor,
    target: Tensor,
    label: int,
    max_shift: float,
    generator: torch.Generator,
) -> Callable[[], tuple[Tensor, Tensor]]:
    """The gradient of the matching loss by normalised poisons z [J, C, H, W], as one step needs
    it: two passes backwards. The target's gradient is computed once, beforehand.
    """
    y = torch.full((len(z),), label)
    wanted_loss = functional.cross_entropy(net(target), y[:1])
    wanted = torch.autograd.grad(wanted_loss, list(net.parameters()))
    wanted_norm = torch.stack([g.square().sum() for g in wanted]).sum().sqrt()

    def step() -> tuple[Tensor, Tensor]:
        x = z.detach().requires_grad_()
        loss = functional.cross_entropy(net(_moved(x, max_shift, generator)), y)
        found = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
        product = sum((a * b).sum() for a, b in zip(found, wanted, strict=True))
        norm = torch.stack([g.square().sum() for g in found]).sum().sqrt()
        mismatch = 1 - product / (norm * wanted_norm)
        mismatch.backward()
        assert x.grad is not None
        return mismatch.detach(), x.grad

    return step


def _moved(z: Tensor, max_shift: float, generator: torch.Generator) -> Tensor:
    """Every image translated and flipped, by grid_sample."""
    size = z.shape[-1]
    line = torch.linspace(-1, 1, size)
    u = torch.rand(len(z), 3, generator=generator)
    x_shift, y_shift = ((2 * u[:, :2] - 1) * max_shift * 2 / (size - 1)).unbind(1)
    x = (line[None, None, :] + x_shift[:, None, None]).expand(-1, size, -1)
    y = (line[None, :, None] + y_shift[:, None, None]).expand(-1, -1, size)
    x = torch.where((u[:, 2] > 0.5)[:, None, None], -x, x)
    return functional.grid_sample(z, torch.stack([x, y], 3), "bilinear", align_corners=True)
