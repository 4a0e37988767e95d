"""Feature Collision against the shortest loop that says the same; and it does not freeze."""

import torch

from poisoning.attacks import feature_collision as fc
from poisoning.attacks.report import Report
from poisoning.params import FeatureCollision
from tests.poisoning import tiny


def reference(nets, x_b, x_t, params):
    """One poison, [C, H, W] each; returns it and how often a step was refused and then taken."""
    eps, w = params.eps_255 / 255, params.watermark

    def project(x):
        return x.clamp(x_b - eps, x_b + eps).clamp(0, 1)

    def loss_at(x):
        def features(net, image):
            return net.features(tiny.normalized(image[None]))

        return sum((features(f, x) - features(f, x_t).detach()).square().sum() for f in nets)

    x, s, refused, recovered = project((1 - w) * x_b + w * x_t), params.step_size, 0, 0
    for _ in range(params.steps):
        leaf = x.clone().requires_grad_()
        loss = loss_at(leaf)
        (g,) = torch.autograd.grad(loss, leaf)
        x_new = project(x - s * g)
        moved = (x_new - x).norm() / x.norm()
        if loss_at(x_new) <= loss:
            x = x_new
            recovered += refused > 0
        else:
            s, refused = s * params.step_decay, refused + 1
        if moved < 1e-5:
            break
    return x, refused, recovered


def test_equals_the_plain_loop_poison_by_poison(digits):
    params = FeatureCollision(eps_255=16, steps=15, step_size=0.05)
    batch, names = tiny.batch(digits, trials=2), ("plain", "residual")
    poisons = fc.craft(params, batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    for t in range(2):
        for j in range(3):
            expected, _, _ = reference(nets, batch.bases[t, j], batch.targets[t, 0], params)
            different = (tiny.rounded(poisons[t, j]) - tiny.rounded(expected)).abs()
            assert different.max() <= 1
            assert (different > 0).float().mean() < 0.01


def test_a_refused_step_is_retried_smaller_from_the_last_accepted_image(digits):
    params = FeatureCollision(eps_255=16, steps=25, step_size=500.0)  # far too long a first step
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain")
    net = tiny.plain_net()
    traced = [
        reference([net], batch.bases[t, j], batch.targets[t, 0], params)
        for t in range(2)
        for j in range(3)
    ]
    assert all(refused > 0 for _, refused, _ in traced)  # the rule is exercised
    assert all(recovered > 0 for _, _, recovered in traced)  # and nothing freezes
    poisons = fc.craft(params, batch, surrogates, Report())
    start = fc.craft(params.model_copy(update={"steps": 1}), batch, surrogates, Report())
    after = fc.objective(params, batch, surrogates, poisons)
    assert (after < 0.9 * fc.objective(params, batch, surrogates, start)).all()


def test_the_watermarked_start_is_within_the_budget(digits):
    params = FeatureCollision(eps_255=4, steps=1, step_size=1e-9, watermark=0.9)
    batch = tiny.batch(digits)
    poisons = fc.craft(params, batch, tiny.surrogates("plain"), Report())
    change = (tiny.rounded(poisons) - tiny.rounded(batch.bases)).abs()
    assert change.max() == 4


def test_finished_poisons_cost_nothing(digits):
    params = FeatureCollision(eps_255=16, steps=60, step_size=1e-9)  # moves less than the stop
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain")
    seen = []
    features = surrogates.features

    def counting(x, draw=()):
        seen.append(len(x))
        return features(x, draw)

    surrogates.features = counting
    said = []
    fc.craft(params, batch, surrogates, Report(lambda *a: said.append(a)))
    assert seen == [2, 6, 6]  # the targets, the start, one step
    assert said[-1][:2] == (60, 60)
