"""Victims that are trained whole, against a plain loop over batches with torch.optim."""

import copy
import dataclasses
import shutil

import pytest
import torch
from torch.nn import functional

from poisoning import targets
from poisoning.data.augment import apply_views, draw_views, normalize
from poisoning.data.training_set import first_of_each_class
from poisoning.models import build
from poisoning.ops.triggers import Trigger
from poisoning.victim_params import EndToEndVictim, FromScratchVictim, Recipe
from poisoning.victims import end_to_end, from_scratch, training, twins
from poisoning.victims.judging import judge
from tests.poisoning import tiny
from tests.poisoning.bench import Bench, victim_batch

RECIPES = {
    "benchmark's": Recipe(epochs=3, batch_size=32, learning_rate=0.05, drop_epochs=(2,)),
    "adam": Recipe(
        epochs=2, batch_size=20, optimizer="adam", learning_rate=0.002, augment=False,
        weight_decay=0.0, schedule="one_cycle",
    ),
}  # fmt: skip
BRIEF = Recipe(epochs=2, batch_size=32, learning_rate=0.05, drop_epochs=())


@pytest.fixture
def on(digits, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    return Bench(digits, work, cache=tmp_path / "cache")


def silent(done, total, values):
    pass


def plain_training(net, recipe, digits, batch, t, is_poisoned):
    """As somebody would write it: one optimiser, one scheduler by hand, batch after batch."""
    ids = torch.cat([batch.clean[t], batch.base_indices[t]])
    last = batch.poisons[t] if is_poisoned else digits.train.images[batch.base_indices[t]]
    images = torch.cat([digits.train.images[batch.clean[t]], last])
    labels = digits.train.labels[ids]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimizer]
    more = {"momentum": recipe.momentum} if recipe.optimizer == "sgd" else {}
    optimizer = kind(net.parameters(), lr=1.0, weight_decay=recipe.weight_decay, **more)
    per_epoch, step = -(-len(ids) // recipe.batch_size), 0
    net.train()
    for epoch in range(recipe.epochs):
        views = draw_views(batch.shared_generator(f"views/{epoch}"), len(digits.train))
        order = torch.randperm(len(ids), generator=batch.generator(t, f"order/{epoch}"))
        for part in order.split(recipe.batch_size):
            optimizer.param_groups[0]["lr"] = training.learning_rate(
                recipe, step, per_epoch, recipe.drop_factor
            )
            x = images[part]
            if recipe.augment:
                x = apply_views(x, *(view[ids[part]] for view in views))
            loss = functional.cross_entropy(net(normalize(x, tiny.MEAN, tiny.STD)), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return net.eval()


@torch.no_grad()
def judged_by(net, digits, batch, t):
    def logits(images):
        return net(normalize(images, tiny.MEAN, tiny.STD))

    right = logits(digits.test.images).argmax(1) == digits.test.labels
    target = logits(batch.targets[t][None])[0].double()
    return judge(target, int(batch.base_labels[t]), right.sum().item() / len(right))


def assert_same(found, expected):
    assert found.prediction == expected.prediction
    assert found.confidence == pytest.approx(expected.confidence, abs=2e-3)
    assert found.margin == pytest.approx(expected.margin, abs=1e-2)
    assert found.clean_accuracy == pytest.approx(expected.clean_accuracy, abs=3 / 246)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_end_to_end_equals_a_plain_loop(recipe, digits, on):
    batch, victim = victim_batch(digits), EndToEndVictim(checkpoint="plain", recipe=recipe)
    verdicts = end_to_end.train_and_judge(victim, on, batch, silent)
    for t, verdict in enumerate(verdicts):
        for is_poisoned, found in ((True, verdict.poisoned), (False, verdict.twin)):
            net = end_to_end.start(victim, on, batch, t)
            net = plain_training(net, recipe, digits, batch, t, is_poisoned)
            assert_same(found, judged_by(net, digits, batch, t))


def test_the_last_layer_is_drawn_as_a_frozen_victims_head_or_kept(digits, on):
    batch = victim_batch(digits)
    drawn = end_to_end.start(EndToEndVictim(checkpoint="plain"), on, batch, 1)
    again = end_to_end.start(EndToEndVictim(checkpoint="plain"), on, batch, 1)
    other = end_to_end.start(EndToEndVictim(checkpoint="plain"), on, batch, 2)
    kept = end_to_end.start(EndToEndVictim(checkpoint="plain", keeps_linear=True), on, batch, 1)
    assert torch.equal(drawn.linear.weight, again.linear.weight)
    assert not torch.equal(drawn.linear.weight, other.linear.weight)
    assert torch.equal(kept.linear.weight, on.network("plain").linear.weight)
    assert torch.equal(drawn.stages[0][0].weight, kept.stages[0][0].weight)


def test_from_scratch_with_own_twins_equals_a_plain_loop(digits, on):
    batch = victim_batch(digits, trials=2)
    victim = FromScratchVictim(model="resnet6_w16", recipe=BRIEF, shared_twins=0)
    verdicts = from_scratch.train_and_judge(victim, on, batch, silent)
    for t, verdict in enumerate(verdicts):
        for is_poisoned, found in ((True, verdict.poisoned), (False, verdict.twin)):
            net = build("resnet6_w16", 5, 32, seed=batch.seed_of(t, "weights"))
            net = plain_training(net, BRIEF, digits, batch, t, is_poisoned)
            assert_same(found, judged_by(net, digits, batch, t))


REGIMES = {
    "end to end": (end_to_end, EndToEndVictim(checkpoint="plain", recipe=BRIEF)),
    "from scratch": (
        from_scratch,
        FromScratchVictim(model="resnet6_w16", recipe=BRIEF, shared_twins=0),
    ),
}


@pytest.mark.parametrize(("module", "victim"), REGIMES.values(), ids=list(REGIMES))
def test_the_control_equals_its_twin_and_costs_one_training(module, victim, digits, on):
    batch, said = victim_batch(digits), []
    first, second, _ = module.train_and_judge(victim, on, batch, lambda *a: said.append(a))
    assert first.poisoned == first.twin
    assert first.explanation.margins == first.explanation.twin_margins
    assert first.explanation.distances == first.explanation.twin_distances != ()
    assert second.poisoned != second.twin
    assert all(0 < done <= total for done, total, _ in said)
    assert said[-1][0] == said[-1][1]


@torch.no_grad()
def distances_by(net, digits, batch, t, images):
    """Of the mean of these images' features, and of the nearest one, to the target's."""
    target, *others = net.features(
        normalize(torch.cat([batch.targets[t][None], images]), tiny.MEAN, tiny.STD)
    )
    away = [float((other - target).norm() / target.norm()) for other in others]
    mean = torch.stack(others).mean(0)
    return float((mean - target).norm() / target.norm()), min(away)


def test_distances_over_the_epochs_equal_a_plain_computation(digits, on):
    recipe, t = RECIPES["benchmark's"], 1
    batch, victim = victim_batch(digits), EndToEndVictim(checkpoint="plain", recipe=recipe)
    bases = digits.train.images[batch.base_indices[t]]
    found = end_to_end.train_and_judge(victim, on, batch, silent)[t].explanation
    assert [epoch for epoch, _ in found.distances] == [0, 1, 2, 3]
    for epoch in range(recipe.epochs + 1):
        until = recipe.model_copy(update={"epochs": epoch})
        nets = [
            plain_training(end_to_end.start(victim, on, batch, t), until, digits, batch, t, which)
            for which in (True, False)
        ]
        mean, nearest = distances_by(nets[0], digits, batch, t, batch.poisons[t])
        twins_mean, _ = distances_by(nets[1], digits, batch, t, bases)
        expected = {"distances": mean, "nearest": nearest, "twin_distances": twins_mean}
        for name, value in expected.items():
            assert dict(getattr(found, name))[epoch] == pytest.approx(value, abs=2e-3), name
    assert found.before.distance_after == pytest.approx(found.distances[0][1], abs=1e-4)
    assert found.distance_after == pytest.approx(found.distances[-1][1], abs=1e-3)
    assert found.before.poisons != found.poisons and found.before.before is None


@pytest.mark.parametrize(
    ("module", "victim"),
    [*REGIMES.values(), (end_to_end, EndToEndVictim(checkpoint="dropout", recipe=BRIEF))],
    ids=[*REGIMES, "dropout"],
)
def test_watching_where_features_go_changes_no_bit(module, victim, digits, tmp_path, monkeypatch):
    batch, on = victim_batch(digits).only(1), Bench(digits, tmp_path)
    (watched,) = module.train_and_judge(victim, on, batch, silent)
    assert len(watched.explanation.distances) == BRIEF.epochs + (module is end_to_end)
    built, asked = training.TrainingSet.of, []

    def unwatched(*given):
        return dataclasses.replace(built(*given), poisons=0)

    def after_training(*given):
        asked.append(given)
        was_trained = module is from_scratch or len(asked) == 2
        return training.explained(*given) if was_trained else watched.explanation

    monkeypatch.setattr(training.TrainingSet, "of", unwatched)
    monkeypatch.setattr(module, "explained", after_training)
    (plain,) = module.train_and_judge(victim, on, batch, silent)
    assert plain.explanation.distances == ()
    moved = {"distances": (), "nearest": (), "twin_distances": (), "before": None}
    for verdict in (plain, watched):
        verdict.__dict__["explanation"] = verdict.explanation.model_copy(update=moved)
    assert plain == watched


@pytest.mark.parametrize(("module", "victim"), REGIMES.values(), ids=list(REGIMES))
def test_a_trials_verdict_does_not_depend_on_its_batch(module, victim, digits, on):
    batch = victim_batch(digits)
    together = module.train_and_judge(victim, on, batch, silent)
    (alone,) = module.train_and_judge(victim, on, batch.only(2), silent)
    assert alone == together[2]


@pytest.mark.parametrize(("module", "victim"), REGIMES.values(), ids=list(REGIMES))
def test_a_twin_is_trained_once_for_all_attacks(module, victim, digits, on, tmp_path, monkeypatch):
    batch = victim_batch(digits).only(1)
    other = dataclasses.replace(batch, poisons=255 - batch.poisons)
    runs, built = [], training.Training.run
    monkeypatch.setattr(training.Training, "run", lambda *a: runs.append(1) or built(*a))
    (first,) = module.train_and_judge(victim, on, batch, silent)
    assert len(runs) == 2
    (again,) = module.train_and_judge(victim, on, other, silent)
    assert len(runs) == 3 and again.twin == first.twin and again.poisoned != first.poisoned
    assert again.extras.twin_variants == first.extras.twin_variants
    assert again.explanation.twin_margins == first.explanation.twin_margins
    assert again.explanation.twin_distances == first.explanation.twin_distances
    assert again.explanation.distances != first.explanation.distances
    bases = digits.train.images[batch.base_indices]
    (control,) = module.train_and_judge(
        victim, on, dataclasses.replace(batch, poisons=bases), silent
    )
    assert control.poisoned == control.twin == first.twin, "a control is the twin of others"
    (path,) = (tmp_path / "cache" / "answers").iterdir()
    path.write_text("{half a fi")
    runs.clear()
    assert module.train_and_judge(victim, on, other, silent) == [again] and len(runs) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6}, {"indices": (7,)}, {"targets": 1}, {"base_labels": 1}, {"target_labels": 1},
        {"base_indices": 1}, {"clean": 1}, {"trigger": Trigger(torch.zeros(3, 2, 2), (1, 1))},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_twin_is_another_where_anything_it_follows_from_is(change, digits, on):
    batch, net = victim_batch(digits).only(0), tiny.plain_net()
    ((name, value),) = change.items()
    if value == 1 and name != "indices":
        value = (getattr(batch, name).roll(1, -1) + 1) % 5
    other = dataclasses.replace(batch, **{name: value})
    one = twins.key(net, BRIEF, on, batch, 0)
    assert one == twins.key(net, BRIEF, on, batch, 0) != twins.key(net, BRIEF, on, other, 0)
    assert one != twins.key(tiny.NETS["dropout"](), BRIEF, on, batch, 0)
    assert one != twins.key(net, RECIPES["adam"], on, batch, 0)


@pytest.mark.parametrize("name", ["plain", "dropout"])
def test_a_killed_training_goes_on_to_the_same_verdict(name, digits, on, monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0.0)
    recipe = RECIPES["benchmark's"].model_copy(update={"epochs": 4})
    victim = EndToEndVictim(checkpoint=name, recipe=recipe)
    batch = victim_batch(digits).only(1)
    uninterrupted = end_to_end.train_and_judge(victim, on, batch, silent)
    steps = []

    def dies(done, total, values):
        steps.append(done)
        if done > total / 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end_to_end.train_and_judge(victim, on, batch, dies)
    assert list(on.work_dir.glob("*.state"))
    before, steps[:] = len(steps), []
    resumed = end_to_end.train_and_judge(victim, on, batch, lambda done, *_: steps.append(done))
    assert before > 0 and steps[0] > 2, "the first epoch was not repeated"
    assert resumed == uninterrupted
    assert not list(on.work_dir.glob("*.state"))


def test_twins_are_shared_in_turn_trained_once_and_never_trusted_blindly(digits, on, tmp_path):
    batch = victim_batch(digits, trials=3)
    victim = FromScratchVictim(model="resnet6_w16", recipe=BRIEF, shared_twins=2)
    trained = []
    built = from_scratch._Trial._train_twin

    def counted(self, number):
        trained.append(number)
        return built(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_scratch._Trial, "_train_twin", counted)
        first = from_scratch.train_and_judge(victim, on, batch, silent)
        assert trained == [0, 1], "trial 2 shares trial 0's"
        assert from_scratch.train_and_judge(victim, on, batch, silent) == first
        assert trained == [0, 1]
        for path in (tmp_path / "cache" / "twins").iterdir():
            path.write_bytes(b"half a file")
        assert from_scratch.train_and_judge(victim, on, batch, silent) == first
        assert trained == [0, 1, 0, 1]
        shutil.rmtree(tmp_path / "cache")
        other = victim.model_copy(update={"recipe": RECIPES["adam"]})
        assert from_scratch.train_and_judge(other, on, batch.only(0), silent) != first[:1]


def test_a_shared_twin_is_a_clean_victim_of_the_first_images_of_each_class(digits, on):
    batch = victim_batch(digits, trials=1)
    victim = FromScratchVictim(model="resnet6_w16", recipe=BRIEF, shared_twins=1)
    (verdict,) = from_scratch.train_and_judge(victim, on, batch, silent)
    ids = first_of_each_class(digits.train.labels, on.data_spec)
    assert torch.bincount(digits.train.labels[ids]).tolist() == [12] * 5
    draws = from_scratch._TwinDraws(batch, 0)
    seed = training.Draws.dropout  # the twin's draws are not the trial's
    assert draws.dropout(0) != seed(training.Draws(batch, 0), 0)
    net = build("resnet6_w16", 5, 32, seed=from_scratch.seed_for(5, "twin 0", "victim/weights"))
    optimizer, net = (
        torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4),
        net,
    )
    net.train()
    for epoch in range(BRIEF.epochs):
        views = draw_views(batch.shared_generator(f"views/{epoch}"), len(digits.train))
        for part in draws.order(epoch, len(ids)).split(32):
            x = apply_views(digits.train.images[ids[part]], *(view[ids[part]] for view in views))
            logits = net(normalize(x, tiny.MEAN, tiny.STD))
            loss = functional.cross_entropy(logits, digits.train.labels[ids[part]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert_same(verdict.twin, judged_by(copy.deepcopy(net).eval(), digits, batch, 0))


@pytest.mark.parametrize(("module", "victim"), REGIMES.values(), ids=list(REGIMES))
def test_backdoors_are_asked_with_the_trigger_on(module, victim, digits, on):
    trigger = Trigger(torch.full((3, 9, 9), 255, dtype=torch.uint8), (23, 23))
    plain = victim_batch(digits).only(1)
    stamped = victim_batch(digits).only(1)
    object.__setattr__(stamped, "trigger", trigger)
    (without,), (with_it,) = (
        module.train_and_judge(victim, on, batch, silent) for batch in (plain, stamped)
    )
    assert without.extras.patched_images == 0
    of_class = int((digits.test.labels == plain.target_labels[0]).sum())
    assert with_it.extras.patched_images == of_class
    assert 0 <= with_it.extras.patched_hits <= of_class
    assert with_it.poisoned.confidence != without.poisoned.confidence
    assert with_it.poisoned.clean_accuracy == without.poisoned.clean_accuracy
    assert set(with_it.extras.variants) == set(targets.VARIANTS)
