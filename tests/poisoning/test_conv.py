"""Convolutions done another way on a processor, against torch's own; batch norm folded away."""

import pytest
import torch
from torch import nn

from poisoning import catalog, devices
from poisoning.models import build
from poisoning.models.conv import Conv2d, _Patches
from poisoning.models.extractor import freeze, quickened

CPU = torch.device("cpu")
BF16 = pytest.param("fast", marks=pytest.mark.skipif(not devices.has_bf16("cpu"), reason="no bf16"))
SHAPES = [  # in, out, stride, groups, side: small maps, also odd ones, and strided depthwise
    (128, 256, 1, 1, 4),
    (256, 128, 2, 1, 8),
    (128, 128, 2, 1, 5),
    (128, 128, 1, 1, 1),
    (144, 144, 2, 144, 16),
]


def asked(layer, x, gradient):
    """What a layer answers, and its gradients by x, weights and bias; under autocast."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    (out.float() * gradient).sum().backward()
    return out.detach().float(), x.grad, layer.weight.grad, layer.bias.grad


def error(have, want):
    have, want = have.detach(), want.detach()
    return float((have.double() - want).norm() / want.norm())


@pytest.mark.parametrize(("width_in", "width", "stride", "groups", "side"), SHAPES)
def test_as_near_to_float64_as_torchs_own(width_in, width, stride, groups, side):
    torch.manual_seed(0)
    ours = Conv2d(width_in, width, 3, stride, padding=1, groups=groups)
    theirs = nn.Conv2d(width_in, width, 3, stride, padding=1, groups=groups)
    exact = nn.Conv2d(width_in, width, 3, stride, padding=1, groups=groups).double()
    for layer in (theirs, exact):
        layer.load_state_dict(ours.state_dict())
    x = torch.randn(6, width_in, side, side).contiguous(memory_format=torch.channels_last)
    x_64 = x.double().requires_grad_()
    out_64 = exact(x_64)
    v = torch.randn(out_64.shape)
    (out_64 * v).sum().backward()
    truth = (out_64.detach(), x_64.grad, exact.weight.grad, exact.bias.grad)
    for have, peer, want in zip(asked(ours, x, v), asked(theirs, x, v), truth, strict=True):
        assert error(have, want) < max(1.5 * error(peer, want), 1e-3)


@pytest.mark.parametrize(("stride", "side"), [(1, 4), (2, 8), (2, 7), (1, 1)])
def test_patches_are_the_convolution_exactly(stride, side):
    """In float64, where neither has a rounding to speak of."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, side, side, dtype=torch.float64, requires_grad=True)
    w = torch.randn(7, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    want = nn.functional.conv2d(x, w, None, stride, 1)
    have = _Patches.apply(x, w, stride)
    v = torch.randn_like(want)
    assert torch.allclose(have, want, atol=1e-12)
    for got, expected in zip(
        torch.autograd.grad(have, (x, w), v), torch.autograd.grad(want, (x, w), v), strict=True
    ):
        assert torch.allclose(got, expected, atol=1e-5)  # by x it is added in float32


def test_without_autocast_nothing_changes():
    torch.manual_seed(0)
    ours = Conv2d(256, 256, 3, padding=1)
    theirs = nn.Conv2d(256, 256, 3, padding=1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 256, 4, 4)
    assert torch.equal(ours(x), theirs(x))


def settled(name, image_size):
    """A network whose batch norms have seen something, frozen."""
    net = build(name, 10, image_size, seed=0)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
    return freeze(net, CPU)


@pytest.mark.parametrize("name", catalog.MODELS)
def test_every_architecture_is_the_same_network_when_folded(name, monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda kind: False)
    size = catalog.model(name).image_size or 32
    net = settled(name, size)
    folded = quickened(net, "fast")
    x = torch.randn(3, 3, size, size)
    assert torch.allclose(folded(x), net(x), atol=2e-4, rtol=1e-3)
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [] and quickened(net, "exact") is net
    assert not any(parameter.requires_grad for parameter in folded.parameters())


@pytest.mark.parametrize("precision", [BF16])
def test_folding_costs_less_than_another_rounding(precision):
    net = settled("resnet18", 32)
    x = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    want = net.double()(x.double())
    net.float()
    with devices.autocast(CPU, precision):
        plain, quick = net(x).double(), quickened(net, precision)(x).double()
    assert error(quick, want) < 2 * error(plain, want) < 0.01
