"""Frozen victims against one nn.Linear at a time, trained by torch.optim on plain batches."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from poisoning.data.augment import apply_views, draw_views, normalize
from poisoning.victim_params import FrozenVictim, Recipe
from poisoning.victims import frozen
from poisoning.victims.features import FeatureTable
from poisoning.victims.judging import judge
from tests.poisoning import tiny
from tests.poisoning.bench import Bench, victim_batch

RECIPES = {
    "benchmark's": Recipe(epochs=5, batch_size=32, learning_rate=0.05, drop_epochs=(3,)),
    "nesterov, no augmentation": Recipe(
        epochs=4, batch_size=50, learning_rate=0.1, nesterov=True, augment=False,
        drop_epochs=(2, 3), drop_factor=0.5, weight_decay=1e-2,
    ),
    "adam": Recipe(epochs=4, batch_size=32, optimizer="adam", learning_rate=0.01),
    "no momentum": Recipe(epochs=3, batch_size=64, momentum=0.0, weight_decay=0.0),
}  # fmt: skip


@pytest.fixture
def on(digits, tmp_path):
    return Bench(digits, tmp_path)


def table(digits, **knobs):
    return FeatureTable(tiny.plain_net(), digits, tiny.MEAN, tiny.STD, tiny.CPU, **knobs)


def reference(recipe, digits, batch, t, is_poisoned):
    """One trial, one head: images cropped and flipped, features, nn.Linear, torch.optim."""
    net, n_train = tiny.plain_net(), len(digits.train)
    last = batch.poisons[t] if is_poisoned else digits.train.images[batch.base_indices[t]]
    images = torch.cat([digits.train.images[batch.clean[t]], last])
    ids = torch.cat([batch.clean[t], batch.base_indices[t]])
    labels = digits.train.labels[ids]
    linear = nn.Linear(net.feature_dim, 5)
    drawn = frozen.draw_heads(batch, net.feature_dim, 5, tiny.CPU)
    with torch.no_grad():
        linear.weight.copy_(drawn.weight[t])
        linear.bias.copy_(drawn.bias[t, 0])
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            linear.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum,
            nesterov=recipe.nesterov, weight_decay=recipe.weight_decay,
        )  # fmt: skip
    else:
        optimizer = torch.optim.Adam(
            linear.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, list(recipe.drop_epochs), recipe.drop_factor
    )
    for epoch in range(recipe.epochs):
        views = draw_views(batch.shared_generator(f"views/{epoch}"), n_train)
        order = torch.randperm(len(ids), generator=batch.generator(t, f"order/{epoch}"))
        for part in order.split(recipe.batch_size):
            x = images[part]
            if recipe.augment:
                x = apply_views(x, *(view[ids[part]] for view in views))
            with torch.no_grad():
                features = net.features(normalize(x, tiny.MEAN, tiny.STD))
            loss = functional.cross_entropy(linear(features), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return judged_by(net, linear, digits, batch, t)


@torch.no_grad()
def judged_by(net, linear, digits, batch, t):
    def logits(images):
        return linear(net.features(normalize(images, tiny.MEAN, tiny.STD)))

    right = logits(digits.test.images).argmax(1) == digits.test.labels
    target = logits(batch.targets[t][None])[0].double()
    return judge(target, int(batch.base_labels[t]), right.sum().item() / len(right))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_the_batched_heads_equal_one_linear_layer_at_a_time(recipe, digits, on):
    batch = victim_batch(digits)
    victim = FrozenVictim(checkpoint="plain", recipe=recipe)
    verdicts = frozen.train_and_judge(victim, on, batch)
    for t, verdict in enumerate(verdicts):
        for is_poisoned, found in ((True, verdict.poisoned), (False, verdict.twin)):
            expected = reference(recipe, digits, batch, t, is_poisoned)
            assert found.prediction == expected.prediction
            assert found.confidence == pytest.approx(expected.confidence, abs=1e-4)
            assert found.margin == pytest.approx(expected.margin, abs=1e-3)
            # an image on the border may fall either way
            assert found.clean_accuracy == pytest.approx(expected.clean_accuracy, abs=2 / 246)


def test_where_the_poisons_are_their_bases_the_twin_is_equal_to_the_last_bit(digits, on):
    victim = FrozenVictim(checkpoint="plain", recipe=RECIPES["benchmark's"])
    first, *others = frozen.train_and_judge(victim, on, victim_batch(digits))
    assert first.poisoned == first.twin
    assert all(verdict.poisoned != verdict.twin for verdict in others)


def test_a_trials_verdict_does_not_depend_on_its_batch(digits, on):
    victim = FrozenVictim(checkpoint="plain", recipe=RECIPES["benchmark's"])
    whole = victim_batch(digits)
    together = frozen.train_and_judge(victim, on, whole)
    (verdict,) = frozen.train_and_judge(victim, on, whole.only(1))
    assert verdict.poisoned.margin == pytest.approx(together[1].poisoned.margin, abs=1e-4)
    assert verdict.twin.margin == pytest.approx(together[1].twin.margin, abs=1e-4)


def test_another_seed_draws_other_heads(digits):
    batch = victim_batch(digits)
    other = victim_batch(digits, indices=(7, 8, 9))
    one, two = (frozen.draw_heads(b, 48, 5, tiny.CPU) for b in (batch, other))
    assert not torch.equal(one.weight, two.weight)
    bound = 1 / 48**0.5
    assert one.weight.abs().max() <= bound and one.weight.abs().max() > 0.98 * bound
    assert torch.equal(one.weight[:3], one.weight[3:])  # a twin starts as its sibling does


def test_reports_every_epoch_and_can_be_stopped(digits, on):
    victim = FrozenVictim(checkpoint="plain", recipe=RECIPES["benchmark's"])
    said = []
    frozen.train_and_judge(victim, on, victim_batch(digits), lambda *a: said.append(a[:2]))
    assert said == [(epoch, 5) for epoch in range(1, 6)]

    class Stopped(Exception):
        pass

    def stop(done, total, values):
        raise Stopped

    with pytest.raises(Stopped):
        frozen.train_and_judge(victim, on, victim_batch(digits), stop)


def test_a_feature_is_computed_once_and_a_full_table_still_answers(digits, monkeypatch):
    ids = torch.arange(40)
    views = draw_views(torch.Generator().manual_seed(1), 40)
    roomy, full = table(digits), table(digits, limit_bytes=4 * 48 * 10)
    expected = roomy.compute(digits.train.images[:40], views)
    computed, alike = [], FeatureTable._alike

    def counted(self, images, views):
        computed.append(len(images))
        return alike(self, images, views)

    monkeypatch.setattr(FeatureTable, "_alike", counted)
    for one in (roomy, roomy, full, full):
        assert torch.allclose(one.lookup(ids, views), expected, atol=1e-6)
    assert computed == [40, 40, 30]
    assert full.used == 10
    elsewhere = draw_views(torch.Generator().manual_seed(2), 40)
    assert not torch.allclose(roomy.lookup(ids, elsewhere), expected)


def test_judging_reads_confidence_and_margin_of_the_base_class():
    judged = judge(torch.tensor([1.0, 3.0, 2.0]), 2, 0.5)
    assert judged.prediction == 1
    assert judged.margin == pytest.approx(-1.0)
    assert judged.confidence == pytest.approx(0.24473, abs=1e-5)
    assert judged.clean_accuracy == 0.5
