"""Pretraining: it learns, reports, resumes bit for bit, and writes down what it did."""

import pytest
import torch
from torchvision.transforms.functional import resize

from poisoning import catalog, data, pretrain
from poisoning.events import CheckpointDone, Log, Machine, PretrainJob, Progress
from poisoning.models import build, robust, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.spec import Adversarial, FieldError, PretrainSpec

SPEC = PretrainSpec(
    model="resnet6_w16",
    dataset="digits_0_4",
    epochs=4,
    batch_size=64,
    learning_rate=0.1,
    schedule="one_cycle",
    nesterov=True,
    augment=True,
)


class Killed(Exception):
    """Stands for a process that ends without warning."""


def run(folder, spec=SPEC, kill_after=None):
    """Run a job, killed when it reports ``kill_after`` steps; returns its events."""
    events = []

    def emit(event):
        events.append(event)
        if isinstance(event, Progress) and event.stage == "pretrain" and event.done == kill_after:
            raise Killed

    machine = Machine(data_dir=".", work_dir=str(folder), device="cpu", threads=1)
    pretrain.run(PretrainJob(name="net", spec=spec, machine=machine), emit)
    return events


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder)


def weights(folder):
    net, _ = store.load(folder / "net.safetensors")
    return net.state_dict()


def equal(first, second) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def test_it_learns_and_says_how_far(finished):
    _, events = finished
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "pretrain"]
    assert [e.done for e in steps if e.done % 11 == 0] == [11, 22, 33, 44]
    assert {e.total for e in steps} == {44}
    assert steps[-1].values["loss"] < 0.6 * steps[0].values["loss"]
    assert steps[-1].detail == "epoch 4 of 4"


def test_its_checkpoint_has_the_accuracy_its_card_states(finished):
    folder, events = finished
    done = events[-1]
    assert isinstance(done, CheckpointDone)
    net, card = store.load(folder / done.path)
    digits = data.load("digits_0_4", ".")
    assert clean_accuracy(net, digits.test, card.mean, card.std) == done.clean_accuracy
    assert done.clean_accuracy == card.clean_accuracy > 0.5
    assert (card.test_images, card.dataset_md5) == (251, digits.md5)
    assert card.recipe == SPEC and done.sha256 == card.sha256
    assert card.versions["torch"] == torch.__version__ and card.hardware
    assert sorted(p.name for p in folder.iterdir()) == ["net.json", "net.safetensors"]


@pytest.mark.parametrize("kill_after", [11, 33])
def test_an_interrupted_run_ends_with_the_same_weights(finished, tmp_path, kill_after):
    with pytest.raises(Killed):
        run(tmp_path, kill_after=kill_after + 11)
    events = run(tmp_path)
    epochs = kill_after // 11
    assert any(isinstance(e, Log) and f"after {epochs} of 4" in e.message for e in events)
    assert equal(weights(finished[0]), weights(tmp_path))
    assert store.content_hash(tmp_path / "net.safetensors") == events[-1].sha256


def test_adam_goes_on_with_its_moments(tmp_path):
    spec = SPEC.model_copy(update={"optimizer": "adam", "learning_rate": 0.003, "epochs": 2})
    run(tmp_path / "whole", spec)
    with pytest.raises(Killed):
        run(tmp_path / "killed", spec, kill_after=22)
    run(tmp_path / "killed", spec)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_a_finished_checkpoint_is_not_trained_again(finished):
    folder, events = finished
    again = run(folder)
    assert again == [events[-1]]


def test_a_finished_checkpoint_of_another_recipe_is_replaced(tmp_path):
    run(tmp_path, SPEC.model_copy(update={"epochs": 1}))
    events = run(tmp_path, SPEC.model_copy(update={"epochs": 1, "seed": 1}))
    assert store.read_card(tmp_path / "net.safetensors").recipe.seed == 1
    assert len(events) > 1


@pytest.mark.parametrize("lost", ["net.safetensors", "net.json"])
def test_half_a_checkpoint_is_no_checkpoint(tmp_path, lost):
    spec = SPEC.model_copy(update={"epochs": 1})
    first = run(tmp_path, spec)[-1]
    (tmp_path / lost).unlink()
    again = run(tmp_path, spec)
    assert len(again) > 1 and again[-1].sha256 == first.sha256


def test_the_state_of_another_recipe_is_not_taken_up(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, kill_after=22)
    events = run(tmp_path, SPEC.model_copy(update={"epochs": 1, "seed": 1}))
    assert any(isinstance(e, Log) and "another recipe" in e.message for e in events)


def test_a_damaged_state_is_not_taken_up(finished, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, kill_after=22)
    (tmp_path / "net.state").write_bytes(b"damaged")
    events = run(tmp_path)
    assert any(isinstance(e, Log) and "unreadable" in e.message for e in events)
    assert equal(weights(finished[0]), weights(tmp_path))


def test_seeds_differ(finished, tmp_path):
    run(tmp_path, SPEC.model_copy(update={"seed": 1}))
    assert not equal(weights(finished[0]), weights(tmp_path))


def test_fast_precision_learns_too(tmp_path):
    done = run(tmp_path, SPEC.model_copy(update={"precision": "fast"}))[-1]
    assert done.clean_accuracy > 0.5


def test_a_loss_that_is_no_number_names_the_rate(tmp_path):
    with pytest.raises(FieldError, match=r"learning_rate: the loss is (nan|inf) in epoch 1"):
        run(tmp_path, SPEC.model_copy(update={"learning_rate": 1e30, "schedule": "steps"}))


def test_progress_comes_within_a_long_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "REPORT_EVERY_S", 0.0)
    events = run(tmp_path, SPEC.model_copy(update={"epochs": 1}))
    assert [e.done for e in events if isinstance(e, Progress) and e.stage == "pretrain"] == list(
        range(1, 12)
    )


def test_an_unknown_device_is_a_field_error(tmp_path):
    machine = Machine(data_dir=".", work_dir=str(tmp_path), device="abacus", threads=1)
    with pytest.raises(FieldError, match=r"device: 'abacus'.*try 'auto'"):
        pretrain.run(PretrainJob(name="net", spec=SPEC, machine=machine), lambda event: None)


def test_step_schedule_drops_tenfold_at_the_named_epochs():
    spec = PretrainSpec(learning_rate=0.01, drop_epochs=(100, 150), epochs=200)
    rates = [pretrain.learning_rate(spec, epoch * 10, 10) for epoch in (0, 99, 100, 149, 150, 199)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])


def test_one_cycle_rises_to_the_rate_and_ends_at_zero():
    spec = PretrainSpec(learning_rate=0.2, schedule="one_cycle", epochs=10)
    rates = [pretrain.learning_rate(spec, step, 100) for step in range(1000)]
    assert max(rates) == pytest.approx(0.2) and rates.index(max(rates)) == 299
    assert rates[0] < 0.001 and rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[:300] == sorted(rates[:300]) and rates[299:] == sorted(rates[299:], reverse=True)


SGD_LOOP = {"momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize(
    ("changes", "theirs", "knobs"),
    [
        ({}, torch.optim.SGD, SGD_LOOP),
        ({"model": "resnet18_w16", "sizes": (16,)}, torch.optim.SGD, SGD_LOOP),
        ({"optimizer": "adam"}, torch.optim.Adam, {}),
    ],
)
def test_training_equals_a_plain_loop(changes, theirs, knobs, tmp_path):
    """One epoch without augmentation against torch's own optimiser in the obvious loop."""
    plain = {"epochs": 1, "augment": False, "schedule": "steps", "learning_rate": 0.001}
    spec = SPEC.model_copy(update=plain | changes)
    run(tmp_path, spec)
    digits = data.load("digits_0_4", ".")
    training = pretrain.Training(spec, digits, torch.device("cpu"))
    net = training.net.train()
    optimizer = theirs(net.parameters(), lr=0.001, weight_decay=2e-4, fused=True, **knobs)
    order = torch.randperm(650, generator=training._generator(0, "order"))
    for part in order.split(64):
        x = (digits.train.images[part].float() / 255 - 0.5) / 0.5
        if spec.sizes:
            x = resize(x, [16, 16], antialias=True)
        loss = torch.nn.functional.cross_entropy(net(x), digits.train.labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = weights(tmp_path)
    for key, value in net.state_dict().items():
        assert torch.allclose(trained[key].float(), value.float(), rtol=1e-4, atol=1e-5), key


def test_smaller_images_come_first_in_equal_shares_of_the_epochs():
    spec = PretrainSpec(epochs=10, sizes=(24, 24, 32))
    sizes = [pretrain.image_size(spec, epoch) for epoch in range(10)]
    assert sizes == [24] * 7 + [32] * 3
    assert pretrain.image_size(PretrainSpec(), 0) is None


@pytest.mark.parametrize(
    "wrong", [{"sizes": (33,)}, {"sizes": (4,)}, {"sizes": (24,), "model": "vgg11"}]
)
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="sizes"):
        PretrainSpec(**wrong)


@pytest.mark.parametrize("name", [row.name for row in catalog.MODELS.values() if row.is_scalable])
def test_what_is_said_to_take_any_size_does(name):
    net = build(name, 5, 32, seed=0).eval()
    assert net(torch.zeros(2, 3, 24, 24)).shape == (2, 5)


# --- adversarial training ---------------------------------------------------------------------

KNOBS = Adversarial(eps_255=24, steps=1, step_size_255=24)
ADVERSARIAL = SPEC.model_copy(update={"epochs": 3, "adversarial": KNOBS})


@pytest.fixture(scope="module")
def hardened(tmp_path_factory):
    """An adversarially trained network, judged on few images."""
    folder = tmp_path_factory.mktemp("hardened")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust, "ROBUST_IMAGES", 60)
        yield folder, run(folder, ADVERSARIAL)


def test_adversarial_training_resumes_bit_for_bit(hardened, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, ADVERSARIAL, kill_after=33)
    events = run(tmp_path, ADVERSARIAL)
    assert any(isinstance(e, Log) and "after 2 of 3" in e.message for e in events)
    assert equal(weights(hardened[0]), weights(tmp_path))


def test_adversarial_training_makes_robust_and_plain_training_states_no_robustness(
    finished, hardened
):
    test = data.load("digits_0_4", ".").test
    net, card = store.load(hardened[0] / "net.safetensors")
    measured = robust.robust_accuracy(net, test, card.mean, card.std, KNOBS)
    assert hardened[1][-1].card["robust_accuracy"] == card.robust_accuracy == measured
    plain, plain_card = store.load(finished[0] / "net.safetensors")
    assert plain_card.robust_accuracy is None
    unprepared = robust.robust_accuracy(plain, test, card.mean, card.std, KNOBS)
    assert unprepared + 0.15 < measured < card.clean_accuracy


def test_attacked_images_are_the_plain_loops_and_leave_the_network_alone():
    digits, net = data.load("digits_0_4", "."), pretrain.build("resnet6_w16", 5, seed=0).train()
    images, labels = digits.train.images[:8], digits.train.labels[:8]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    knobs = Adversarial(eps_255=16, steps=2, step_size_255=12)
    found = robust.attacked(net, images / 255, labels, (0.4,) * 3, (0.5,) * 3, knobs, generator)
    assert net.training and all(parameter.grad is None for parameter in net.parameters())
    assert equal(before, net.state_dict())

    x_b = images.float() / 255
    x = x_b + 16 / 255 * (2 * torch.rand(x_b.shape, generator=generator.manual_seed(3)) - 1)
    x = x.clamp(0, 1)
    for _ in range(2):
        x = x.detach().requires_grad_()
        logits = net.eval()((x - 0.4) / 0.5)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        x = (x + 12 / 255 * x.grad.sign()).clamp(x_b - 16 / 255, x_b + 16 / 255).clamp(0, 1)
    # a sign may turn over where a gradient is nearly zero
    assert ((found - (x - 0.4) / 0.5).abs() > 1e-4).float().mean() < 0.002
