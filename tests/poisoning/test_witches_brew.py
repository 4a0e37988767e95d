"""Witches' Brew against double backward, torch's Adam and grid_sample; finite differences."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from poisoning import models
from poisoning.attacks import witches_brew as wib
from poisoning.attacks.report import Report
from poisoning.ops import matching, twice
from poisoning.params import WitchesBrew
from tests.poisoning import tiny

KNOBS = WitchesBrew(eps_255=16, steps=5, restarts=2, learning_rate=0.05, max_shift=3)
EPS = 16 / 255
ENSEMBLES = [("plain",), ("residual", "plain"), ("dropout",)]


def parameter_gradient(net, z, y, create_graph=False):
    loss = functional.cross_entropy(net(z), y.expand(len(z)), reduction="sum")
    found = torch.autograd.grad(loss, list(net.parameters()), create_graph=create_graph)
    return torch.cat([g.flatten() for g in found])


def distance(a, b):
    return 1 - torch.dot(a, b) / (a.norm() * b.norm())


def set_dropout(net, generators):
    for module in net.modules():
        if hasattr(module, "generators"):
            module.generators = generators


def moved(z, generator, max_shift):
    """Published: grid_sample on a grid that is shifted, then turned around."""
    size = z.shape[-1]
    line = torch.linspace(-1, 1, size)
    u = torch.rand(len(z), 3, generator=generator)
    shift = (2 * u[:, :2] - 1) * max_shift * 2 / (size - 1)
    x = line[None, None, :] + shift[:, 0, None, None]
    y = line[None, :, None] + shift[:, 1, None, None]
    x, y = x.expand(-1, size, -1), y.expand(-1, -1, size)
    x = torch.where((u[:, 2] > 0.5)[:, None, None], -x, x)
    return functional.grid_sample(z, torch.stack([x, y], 3), "bilinear", align_corners=True)


def matching_loss(nets, x, x_t, y, generator=None, max_shift=0):
    """The objective of one trial as it is written; differentiable by x [J, C, H, W]."""
    z = tiny.normalized(x)
    if generator is not None:
        z = moved(z, generator, max_shift)
    losses = []
    for net in nets:
        set_dropout(net, ())
        wanted = parameter_gradient(net, tiny.normalized(x_t), y)
        set_dropout(net, (generator,) if generator is not None else ())
        losses.append(distance(parameter_gradient(net, z, y, create_graph=True), wanted))
    return sum(losses) / len(nets)


def plain_loop(nets, base, target, y, generator):
    """One trial, as published: restarts one after the other, torch's Adam on the signs."""
    kept, lowest = None, float("inf")
    for _ in range(KNOBS.restarts):
        noise = EPS * torch.randn(base.shape, generator=generator)
        x = (base + noise.clamp(-EPS, EPS)).clamp(0, 1)
        z = torch.nn.Parameter(tiny.normalized(x))
        optimizer = torch.optim.Adam([z], lr=KNOBS.learning_rate / len(nets))
        drops = [KNOBS.steps // part for part in (2.667, 1.6, 1.142)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, 0.1)
        for _ in range(KNOBS.steps):
            x = (z.detach() * 0.5 + 0.5).requires_grad_()
            loss = matching_loss(nets, x, target, y, generator, KNOBS.max_shift)
            (g,) = torch.autograd.grad(loss, x)
            z.grad = g.sign()
            optimizer.step()
            schedule.step()
            x = z.detach() * 0.5 + 0.5
            x = torch.minimum(torch.maximum(x, base - EPS), base + EPS).clamp(0, 1)
            z.data = tiny.normalized(x)
        final = matching_loss(nets, x, target, y).item()
        if final < lowest:
            kept, lowest = x, final
    return kept, lowest


def trained(names):
    """Networks of the tests whose parameters learn, as the published loop needs them."""
    return [net.requires_grad_(True) for net in tiny.surrogates(*names).networks]


@pytest.mark.parametrize("names", ENSEMBLES, ids="+".join)
def test_equals_the_published_loop(names, digits):
    batch = tiny.batch(digits, trials=2, poisons=4)
    found = wib.craft(KNOBS, batch, tiny.surrogates(*names), Report())
    final = wib.objective(KNOBS, batch, tiny.surrogates(*names), found)
    nets = trained(names)
    generators = tiny.batch(digits).generators
    for t in range(2):
        expected, lowest = plain_loop(
            nets, batch.bases[t], batch.targets[t], batch.base_labels[t], generators[t]
        )
        # a sign turns over where a gradient is nearly zero, and Adam remembers it
        different = (tiny.rounded(found[t]) != tiny.rounded(expected)).float().mean()
        assert different < 0.01
        assert final[t].item() == pytest.approx(lowest, abs=2e-4)


@pytest.mark.parametrize("rows", [128, 3], ids=["open graph", "forward form"])
@pytest.mark.parametrize("names", [*ENSEMBLES, ("residual",)], ids="+".join)
def test_both_forms_equal_double_backward(names, rows, digits, monkeypatch):
    monkeypatch.setattr(wib, "ROWS", rows)
    batch, nets = tiny.batch(digits, poisons=4), trained(names)
    found_loss, found = wib.Brew(batch, tiny.surrogates(*names)).loss_and_gradient(batch.bases, 3.0)
    generators = tiny.batch(digits).generators
    for t in range(2):
        x = batch.bases[t].clone().requires_grad_()
        loss = matching_loss(
            nets, x, batch.targets[t], batch.base_labels[t], generators[t], max_shift=3.0
        )
        (g,) = torch.autograd.grad(loss, x)
        assert found_loss[t].item() == pytest.approx(loss.item(), abs=1e-5)
        cosine = torch.cosine_similarity(g.double().flatten(), found[t].double().flatten(), 0)
        assert cosine > 0.99999
        clear = g.abs() > 1e-5 * g.abs().max()
        assert torch.equal(g.sign()[clear], found[t].sign()[clear])


@pytest.mark.parametrize("name", tiny.NETS)
def test_agrees_with_finite_differences_in_float64(name, digits):
    surrogates, batch = tiny.surrogates(name), tiny.batch(digits, trials=1, poisons=2)
    net = surrogates.networks[0].double()
    y = batch.base_labels.repeat(2)
    target, z = tiny.normalized(batch.targets[0]).double(), tiny.normalized(batch.bases[0]).double()
    theta, buffers = matching.parameters(net)
    wanted = matching.unit(matching.gradient(net, theta, buffers, target, y[:1]))

    def loss(z):
        return matching.mismatch(matching.gradient(net, theta, buffers, z, y), wanted)

    generator = torch.Generator().manual_seed(1)
    z = z + 0.01 * torch.randn(z.shape, generator=generator, dtype=z.dtype)  # off the kinks
    g, along = matching.open_gradient(net, theta, buffers, z, y)
    found = matching.input_gradient(net, theta, buffers, loss(z)[1], z, y)
    assert torch.allclose(along(matching.mismatch(g, wanted)[1]), found, rtol=1e-9, atol=1e-15)
    h = 1e-7
    for _ in range(3):
        d = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        slope = (loss(z + h * d)[0] - loss(z - h * d)[0]) / (2 * h)
        assert slope.item() == pytest.approx((found * d).sum().item(), rel=1e-4)


def twice_differentiated(forward, x, parameters, v):
    """The gradients g by the parameters, and d/dx <v, g>."""
    g = torch.autograd.grad(forward(x), parameters, create_graph=True)
    return [*g, *torch.autograd.grad(g, x, v, retain_graph=True)], g


def assert_lean_equals_torchs_own(forward, x, parameters):
    """And that Lean was at work: its gradients know no derivative by a parameter."""
    v = [torch.linspace(-1, 1, p.numel()).view(p.shape).to(p) for p in parameters]
    theirs, _ = twice_differentiated(forward, x, parameters, v)
    with twice.Lean():
        ours, g = twice_differentiated(forward, x, parameters, v)
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12 * one.detach().abs().max().item())
    again = torch.autograd.grad(g, parameters, v, allow_unused=True)
    assert any(by_parameter is None for by_parameter in again)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"bias": True},
        {"stride": 2, "padding": 1, "bias": True},
        {"groups": 4, "padding": 2},
        {"stride": 2, "groups": 4, "padding": 1, "bias": True},
        {"dilation": 2},
        {"stride": (2, 1), "padding": (0, 2)},
    ],
    ids=lambda knobs: ", ".join(knobs) or "plain",
)
def test_a_lean_convolution_equals_torchs_own_differentiated_twice(knobs):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 8, 3, **{"bias": False} | knobs).double()
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)

    def forward(x):
        return conv(conv(x.tanh()).tanh()[:, :4]).tanh().pow(2).sum()

    assert_lean_equals_torchs_own(forward, x, list(conv.parameters()))


def test_a_lean_convolution_takes_numbers_and_names_as_torchs_does():
    torch.manual_seed(0)
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    for knobs in ({"stride": 2, "padding": 1}, {"padding": "same"}, {}):
        with twice.Lean():
            found = functional.conv2d(x, w, **knobs)
        assert torch.allclose(found, functional.conv2d(x, w, **knobs), atol=1e-6)


def test_a_lean_batch_norm_equals_torchs_own_differentiated_twice():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(4).double().eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data.uniform_(0.5, 2)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)

    def forward(x):
        return norm(norm(x.tanh()).tanh()).tanh().pow(3).sum()

    assert_lean_equals_torchs_own(forward, x, list(norm.parameters()))


def test_batch_norm_that_learns_its_statistics_is_torchs_own():
    norm = torch.nn.BatchNorm2d(4).double().train()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    with twice.Lean():
        found = norm(x)
    assert torch.equal(found, torch.nn.BatchNorm2d(4).double().train()(x))
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("model", ["mobilenet_w8", "resnet8_w8", "vgg3_w8", "alexnet_htbd_w8"])
def test_on_the_catalogues_networks_both_forms_equal_plain_double_backward(model):
    net = models.build(model, 10, seed=0).double().eval()
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    theta, buffers = matching.parameters(net)
    z = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=generator, requires_grad=True)
    v = {name: torch.randn(p.shape, dtype=p.dtype, generator=generator)
         for name, p in theta.items()}  # fmt: skip
    y = torch.tensor([3, 7])
    loss = functional.cross_entropy(net(z), y, reduction="sum")
    wanted = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    (by_z,) = torch.autograd.grad(wanted, z, [v[name] for name, _ in net.named_parameters()])
    g, along = matching.open_gradient(net, theta, buffers, z, y)
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(wanted, g.values(), strict=True))
    for found in (along(v), matching.input_gradient(net, theta, buffers, v, z, y)):
        assert (found - by_z).norm() < 1e-12 * by_z.norm()


def test_a_step_imports_neither_compiler_nor_algebra():
    code = (
        "import sys, torch\n"
        "from poisoning.ops import matching\n"
        "net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten())\n"
        "theta, z, y = dict(net.named_parameters()), torch.ones(1, 1, 3, 3), torch.tensor([1])\n"
        "g, along = matching.open_gradient(net, theta, {}, z, y)\n"
        "along(g)\n"
        "sys.exit(bool({'sympy', 'torch._dynamo'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("names", [("residual",), ("dropout",)], ids="+".join)
def test_images_may_come_in_parts(names, digits, monkeypatch):
    batch = tiny.batch(digits, trials=1, poisons=5)
    whole = wib.Brew(batch, tiny.surrogates(*names)).loss_and_gradient(batch.bases, 2.0)
    monkeypatch.setattr(wib, "ROWS", 2)
    batch = tiny.batch(digits, trials=1, poisons=5)
    parts = wib.Brew(batch, tiny.surrogates(*names)).loss_and_gradient(batch.bases, 2.0)
    assert torch.allclose(whole[0], parts[0], atol=1e-5)
    assert torch.allclose(whole[1], parts[1], atol=1e-4 * float(whole[1].abs().max()))


@pytest.mark.parametrize("rows", [128, 3], ids=["open graph", "forward form"])
def test_in_bf16_it_points_the_same_way(rows, digits, monkeypatch):
    monkeypatch.setattr(wib, "ROWS", rows)
    batch = tiny.batch(digits, poisons=4)
    monkeypatch.setattr(wib.devices, "has_bf16", lambda device: True)
    _, exact = wib.Brew(batch, tiny.surrogates("residual")).loss_and_gradient(batch.bases, None)
    fast_brew = wib.Brew(batch, tiny.surrogates("residual", precision="fast"))
    assert all(p.dtype == torch.bfloat16 for p in fast_brew.theta[0][0].values())
    _, fast = fast_brew.loss_and_gradient(batch.bases, None)
    assert fast.dtype == torch.float32
    assert torch.cosine_similarity(exact.flatten(), fast.flatten(), 0) > 0.98


def test_copies_for_features_are_made_only_for_who_asks_for_features(digits):
    batch = tiny.batch(digits, trials=1, poisons=3)
    surrogates = tiny.surrogates("dropout", precision="fast")
    wib.Brew(batch, surrogates).loss_and_gradient(batch.bases, 2.0)
    assert "_quick" not in vars(surrogates)
    (found,) = surrogates.features(batch.bases[0])
    (fresh,) = tiny.surrogates("dropout", precision="fast").features(batch.bases[0])
    assert torch.equal(found, fresh)


def test_the_rate_is_the_published_one_and_drops_where_published():
    knobs = WitchesBrew()
    assert wib.learning_rate(knobs, 1, 0) == pytest.approx(0.1)
    assert wib.learning_rate(knobs, 4, 0) == pytest.approx(0.1 / 4)
    rates = [wib.learning_rate(WitchesBrew(learning_rate=1), 1, t) for t in range(250)]
    drops = [t for t in range(1, 250) if rates[t] < rates[t - 1]]
    assert drops == [93, 156, 218]
    assert rates[-1] == pytest.approx(0.001)


def test_a_start_lies_in_the_ball_and_fills_it(digits):
    batch = tiny.batch(digits)
    change = wib.random_start(batch, EPS) - batch.bases
    assert change.abs().max() <= EPS + 1e-6
    inside = (batch.bases > 0.1) & (batch.bases < 0.9)
    at_the_edge = (change[inside].abs() > 0.999 * EPS).float().mean()
    assert at_the_edge == pytest.approx(0.317, abs=0.05)  # P(|n| > 1)


def test_surrogates_are_left_as_they_were(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("dropout")
    x = batch.bases.flatten(0, 1)
    before = surrogates.logits(x)[0]
    wib.craft(KNOBS, batch, surrogates, Report())
    assert torch.equal(surrogates.logits(x)[0], before)
    parameters = list(surrogates.networks[0].parameters())
    assert not any(p.requires_grad or p.grad is not None for p in parameters)


def test_more_restarts_are_never_worse(digits):
    finals = []
    for restarts in (1, 3):
        knobs = KNOBS.model_copy(update={"restarts": restarts})
        batch, surrogates = tiny.batch(digits), tiny.surrogates("plain")
        poisons = wib.craft(knobs, batch, surrogates, Report())
        finals.append(wib.objective(knobs, batch, surrogates, poisons))
    assert (finals[1] <= finals[0] + 1e-6).all()


def test_a_craft_killed_between_or_within_restarts_goes_on_to_the_same_poisons(digits, tmp_path):
    class Killed(Exception):
        pass

    class DiesAt(Report):
        def __call__(self, step, total, values, **state):
            super().__call__(step, total, values, **state)
            if step == self.last:
                raise Killed

    uninterrupted = wib.craft(KNOBS, tiny.batch(digits), tiny.surrogates("plain"), Report())
    for last in (KNOBS.steps, KNOBS.steps + 2):
        batch = tiny.batch(digits)
        report = DiesAt(None, tmp_path / f"{last}", "k", batch.generators, save_every_s=0.0)
        report.last = last
        with pytest.raises(Killed):
            wib.craft(KNOBS, batch, tiny.surrogates("plain"), report)
        batch = tiny.batch(digits)
        report = Report(None, tmp_path / f"{last}", "k", batch.generators)
        resumed = wib.craft(KNOBS, batch, tiny.surrogates("plain"), report)
        assert torch.equal(resumed, uninterrupted)
