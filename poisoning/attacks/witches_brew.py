"""Witches' Brew: gradient matching.

Geiping, Fowl, Huang, Czaja, Taylor, Moeller and Goldstein, "Witches' Brew: Industrial Scale Data
Poisoning via Gradient Matching", ICLR 2021, https://arxiv.org/abs/2009.02276.

Objective, over the poisons x_1..x_J of one trial and m classifiers with parameters theta_i; L is
the cross entropy, y the class the attacker wants, which is the poisons' own label:

    min_x  1/m sum_i 1 - cos( grad L(x_t, y; theta_i), sum_j grad L(A_j(x_j), y; theta_i) )
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

with the gradients by theta_i and one cosine over all of its parameters. A_j translates and flips,
drawn anew at every step. Adam is fed the sign of the gradient and works in normalised pixel units;
its rate drops tenfold after 3/8, 5/8 and 7/8 of the steps. The projection is in pixels. Of several
random starts that with the lowest loss at its end, without A_j, is kept. The classifiers are in
eval mode; dropout, where one has it, acts on the poisons.

Threat model: targeted, clean label, against training from scratch; the attacker has classifiers of
the victim's classes, trained on clean data as the victim is, sees the target, and may add J images
of the class the target shall be taken for, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning import devices
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import adam, matching, projections, shifts
from poisoning.params import WitchesBrew

PARTS = (2.667, 1.6, 1.142)  # of the steps; then the rate drops
ROWS = 128  # images that are differentiated at once; with more, activations are computed twice


def craft(params: WitchesBrew, batch: CraftBatch, surrogates: Surrogates, report: Report) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    x_b, eps = batch.bases, projections.radius(params.eps_255)
    brew = Brew(batch, surrogates)
    std, zeros = surrogates.std, torch.zeros_like(x_b)
    lowest = torch.full((len(batch),), torch.inf, device=x_b.device)
    done, (x, m, v, best, lowest) = report.restore(
        x=x_b, m=zeros, v=zeros, best=x_b.clone(), lowest=lowest
    )
    total = params.restarts * params.steps
    for step in range(done, total):
        t = step % params.steps  # of this restart
        if t == 0:
            x, m, v = random_start(batch, eps), zeros, zeros
        loss, g = brew.loss_and_gradient(x, params.max_shift if params.augment else None)
        u, m, v = adam.step(g.sign(), m, v, t + 1)
        rate = learning_rate(params, len(surrogates), t)
        x = projections.linf(x - rate * std * u, x_b, eps)
        if t + 1 == params.steps:
            final = brew.loss(x)
            is_better = final < lowest
            best[is_better], lowest[is_better] = x[is_better], final[is_better]
        state = {"x": x, "m": m, "v": v, "best": best, "lowest": lowest}
        report(step + 1, total, {"loss": loss.mean()}, **state)
    return best


def objective(
    params: WitchesBrew, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """The matching loss of each trial, without translations and dropout, [T]."""
    return Brew(batch, surrogates).loss(poisons)


def learning_rate(params: WitchesBrew, surrogates: int, t: int) -> float:
    """The rate, in normalised pixel units, of step ``t`` = 0, 1, ... of a restart."""
    drops = sum(t >= params.steps // part for part in PARTS)
    return params.learning_rate / surrogates * 0.1**drops


def random_start(batch: CraftBatch, eps: float) -> Tensor:
    """P(x_b + eps n), n standard normal, each trial's own: [T, J, C, H, W]."""
    drawn = [torch.randn(batch.bases[0].shape, generator=g) for g in batch.generators]
    return projections.linf(
        batch.bases + eps * torch.stack(drawn).to(batch.bases), batch.bases, eps
    )


class Brew:
    """The matching loss of T trials, with what stays the same at every step: the classifiers'
    parameters theta_i and the directions of the targets' gradients.
    """

    def __init__(self, batch: CraftBatch, surrogates: Surrogates) -> None:
        self.batch, self.surrogates = batch, surrogates
        is_bf16 = surrogates.precision == "fast" and devices.has_bf16(surrogates.device.type)
        kind = torch.bfloat16 if is_bf16 else None
        self.theta = [matching.parameters(net, kind) for net in surrogates.networks]
        self.u_t = [  # of length 1
            [
                matching.unit(self._gradient(i, self._normalized(x_t), y))
                for i in range(len(surrogates))
            ]
            for x_t, y in zip(batch.targets, batch.base_labels, strict=True)
        ]

    def loss(self, x: Tensor) -> Tensor:
        """[T] of poisons x [T, J, C, H, W], as they are."""
        return torch.stack([self._loss(t, poisons) for t, poisons in enumerate(x)])

    def loss_and_gradient(self, x: Tensor, max_shift: float | None) -> tuple[Tensor, Tensor]:
        """[T] and, by x, [T, J, C, H, W]; the poisons moved by up to ``max_shift`` pixels (None:
        not at all), under dropout.
        """
        found = [self._step(t, poisons, max_shift) for t, poisons in enumerate(x)]
        losses, gradients = zip(*found, strict=True)
        return torch.stack(losses), torch.stack(gradients)

    def _loss(self, t: int, x: Tensor) -> Tensor:
        z, y = self._normalized(x), self.batch.base_labels[t]
        each = [matching.mismatch(self._gradient(i, z, y), u_t)[0]
                for i, u_t in enumerate(self.u_t[t])]  # fmt: skip
        return torch.stack(each).mean()

    def _step(self, t: int, x: Tensor, max_shift: float | None) -> tuple[Tensor, Tensor]:
        """Loss [] and gradient [J, C, H, W] of the poisons of trial ``t``."""
        generator, y = self.batch.generators[t], self.batch.base_labels[t]
        x = x.detach().requires_grad_()
        z = self._normalized(x)
        if max_shift is not None:
            z = shifts.draw(generator, len(x), max_shift)(z)
        found = [self._step_of(i, u_t, z.detach(), y, generator)
                 for i, u_t in enumerate(self.u_t[t])]  # fmt: skip
        losses, by_z = zip(*found, strict=True)
        (by_x,) = torch.autograd.grad((z * torch.stack(by_z).mean(0)).sum(), x)
        return torch.stack(losses).mean(), by_x

    def _step_of(
        self, i: int, u_t: matching.ByName, z: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Loss [] and gradient by z [J, C, H, W] of surrogate ``i``."""
        if len(z) <= ROWS:
            net, (theta, buffers) = self._network(i, (generator,)), self.theta[i]
            g, along = matching.open_gradient(net, theta, buffers, z, y.expand(len(z)))
            loss, v = matching.mismatch(g, u_t)
            return loss, along(v)
        before = generator.get_state()
        loss, v = matching.mismatch(self._gradient(i, z, y, generator), u_t)
        generator.set_state(before)  # the same dropout once more
        return loss, self._input_gradient(i, v, z, y, generator)

    def _gradient(self, i: int, z: Tensor, y: Tensor, *draw: torch.Generator) -> matching.ByName:
        """grad_theta_i of L, summed over images z [N, C, H, W] of class y []."""
        net, (theta, buffers) = self._network(i, draw), self.theta[i]
        parts = [matching.gradient(net, theta, buffers, part, y.expand(len(part)))
                 for part in z.split(ROWS)]  # fmt: skip
        return matching.added(parts)

    def _input_gradient(
        self, i: int, v: matching.ByName, z: Tensor, y: Tensor, *draw: torch.Generator
    ) -> Tensor:
        net, (theta, buffers) = self._network(i, draw), self.theta[i]
        parts = [
            matching.input_gradient(net, theta, buffers, v, part, y.expand(len(part)))
            for part in z.split(ROWS)
        ]
        return torch.cat(parts)

    def _network(self, i: int, draw: tuple[torch.Generator, ...]) -> torch.nn.Module:
        """Surrogate ``i``, its dropout acting where a generator is given."""
        for dropout in self.surrogates.dropouts[i]:
            dropout.generators = draw
        return self.surrogates.networks[i]

    def _normalized(self, x: Tensor) -> Tensor:
        z = (x - self.surrogates.mean) / self.surrogates.std
        return z.contiguous(memory_format=torch.channels_last)
