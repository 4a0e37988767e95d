"""Gradients by a network's parameters: their cosine, and what raises it, by the input.

Gradient matching needs d/dz of 1 - cos(g_t, g(z)), where g(z) = grad_theta L(z, y). By the chain
rule it is d/dz <v, g(z)> with v = d(1 - cos)/dg held fixed. There are two exact ways to it:

- ``open_gradient`` keeps the graph of g and differentiates it once more, by the input alone: the
  quicker one, where memory holds the graph of all images;
- ``input_gradient`` needs v only. <v, g(z)> is the derivative of L along v in parameter space: one
  forward-mode pass, differentiated once in reverse (Pearlmutter 1994, with the input in the
  parameters' place). Since v holds all that couples the images, they can come in parts.

Nothing is folded: batch norm's scale and shift are parameters like all others.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn import functional

from poisoning.ops.twice import Lean

ByName = dict[str, Tensor]  # one tensor for each parameter of a network, or each buffer


def parameters(net: nn.Module, dtype: torch.dtype | None = None) -> tuple[ByName, ByName]:
    """Parameters and buffers of a network, cast to ``dtype`` where one is given."""

    def cast(value: Tensor) -> Tensor:
        return value.detach().to(dtype if value.is_floating_point() else None)

    theta = {name: cast(value) for name, value in net.named_parameters()}
    return theta, {name: cast(value) for name, value in net.named_buffers()}


def cross_entropy(net: nn.Module, theta: ByName, buffers: ByName, z: Tensor, y: Tensor) -> Tensor:
    """L, summed over normalised images z [N, C, H, W] with labels y [N]; at least in float32."""
    kind = next(iter(theta.values())).dtype
    logits = functional_call(net, (theta, buffers), (z.to(kind),))
    return functional.cross_entropy(logits.to(_at_least_float32(kind)), y, reduction="sum")


def gradient(net: nn.Module, theta: ByName, buffers: ByName, z: Tensor, y: Tensor) -> ByName:
    """g = grad_theta L(z, y), at least in float32."""
    leaves = {name: value.detach().requires_grad_() for name, value in theta.items()}
    loss = cross_entropy(net, leaves, buffers, z, y)
    found = torch.autograd.grad(loss, list(leaves.values()))
    kind = loss.dtype
    return {name: g.to(kind) for name, g in zip(leaves, found, strict=True)}


def open_gradient(
    net: nn.Module, theta: ByName, buffers: ByName, z: Tensor, y: Tensor
) -> tuple[ByName, Callable[[ByName], Tensor]]:
    """g, as ``gradient`` gives it, and the function of v that gives d/dz <v, g>, to be called
    once.
    """
    z = z.detach().requires_grad_()
    leaves = {name: value.detach().requires_grad_() for name, value in theta.items()}
    with Lean():
        loss = cross_entropy(net, leaves, buffers, z, y)
    found = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)

    def along(v: ByName) -> Tensor:
        pairs = [(g, v[name].to(g.dtype)) for name, g in zip(leaves, found, strict=True)]
        # a scalar, as torch imports sympy (2 s of a process) to differentiate anything else
        (by_z,) = torch.autograd.grad(torch.stack([(g * v_g).sum() for g, v_g in pairs]).sum(), z)
        return by_z

    kind = loss.dtype
    return {name: g.detach().to(kind) for name, g in zip(leaves, found, strict=True)}, along


def input_gradient(
    net: nn.Module, theta: ByName, buffers: ByName, v: ByName, z: Tensor, y: Tensor
) -> Tensor:
    """d/dz <v, grad_theta L(z, y)>, shaped as z."""
    z = z.detach().requires_grad_()
    direction = {name: v[name].to(value.dtype) for name, value in theta.items()}

    def loss(at: ByName) -> Tensor:
        return cross_entropy(net, at, buffers, z, y)

    along = jvp(loss, (theta,), (direction,))[1]
    (found,) = torch.autograd.grad(along, z)
    return found


def mismatch(g: ByName, u_t: ByName) -> tuple[Tensor, ByName]:
    """1 - cos(g, u_t), one cosine over all parameters, and its derivative by g; ``u_t`` has
    length 1.
    """
    length = _length(g)
    cosine = dot(g, u_t) / length
    along, across = cosine / length.square(), 1 / length
    return 1 - cosine, {name: (g[name] * along).sub_(u_t[name] * across) for name in g}


def unit(g: ByName) -> ByName:
    """g / ||g||_2."""
    length = _length(g)
    return {name: value / length for name, value in g.items()}


def dot(a: ByName, b: ByName) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def added(parts: Iterable[ByName]) -> ByName:
    """The sum of gradients, name by name."""
    first, *others = parts
    for part in others:
        first = {name: value.add_(part[name]) for name, value in first.items()}
    return first


def _length(g: ByName) -> Tensor:
    return dot(g, g).sqrt().clamp_min(torch.finfo(torch.float32).tiny)


def _at_least_float32(kind: torch.dtype) -> torch.dtype:
    return torch.promote_types(kind, torch.float32)
