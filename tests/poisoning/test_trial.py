import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from poisoning import check, crafting, inputs, params, poison_set, trial, victim_params, work
from poisoning.data import DataError
from poisoning.data.setups import setup
from poisoning.events import EVENT, Done, Failed, Progress, Started, TrialDone
from poisoning.spec import DataSpec, FieldError
from tests.poisoning import jobs


def run(folder, spec=None, indices=None):
    heard = jobs.Heard()
    trial.run(jobs.job(folder, spec, indices), heard)
    return heard


@pytest.fixture(scope="module")
def bullseye(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bullseye")
    return folder, run(folder)


def test_each_trial_comes_once_with_an_outcome_for_every_victim(bullseye):
    _, heard = bullseye
    assert [done.index for done in heard.trials()] == [0, 1, 2]
    for done in heard.trials():
        assert [outcome.victim for outcome in done.outcomes] == [0, 1, 2]
        assert done.linf_255 == 16
        assert 0 < done.mean_l2 < 16 / 255 * (3 * 32 * 32) ** 0.5
        assert 0 < done.ssim < 1
        assert done.final_loss > 0 and done.craft_seconds > 0


def test_access_is_computed_from_what_the_checkpoints_are(bullseye):
    _, heard = bullseye
    for done in heard.trials():
        assert [o.access for o in done.outcomes] == ["white_box", "grey_box", "black_box"]


def test_without_surrogates_every_victim_is_a_black_box(tmp_path):
    heard = run(tmp_path, jobs.spec(params.NoPerturbation(), surrogates=(), trials=1))
    assert {o.access for o in heard.trials()[0].outcomes} == {"black_box"}


def test_success_is_the_base_class_at_the_target(bullseye):
    _, heard = bullseye
    for done in heard.trials():
        for outcome in done.outcomes:
            base_class = done.setup.base_class
            assert outcome.success == (outcome.poisoned.prediction == base_class)
            assert outcome.twin_success == (outcome.twin.prediction == base_class)
            assert (outcome.poisoned.margin > 0) == outcome.success
            assert outcome.clean_images == 246


def test_what_is_judged_is_what_is_stored(bullseye, digits):
    folder, heard = bullseye
    for done in heard.trials():
        path = folder / "work" / done.poison_set
        stored = poison_set.load(path)
        assert path.stem == done.poison_set_hash == stored.content_hash
        assert stored.base_indices.tolist() == list(done.setup.base_indices)
        images = digits.train.images.numpy()
        assert np.array_equal(stored.bases, images[stored.base_indices])
        assert np.array_equal(stored.target[0], digits.test.images[done.setup.target_index])
        change = np.abs(stored.poisons.astype(int) - stored.bases)
        assert change.max() == done.linf_255
        assert stored.manifest["craft_hash"] == done.craft_hash


def test_setups_are_those_that_the_seed_draws(bullseye, digits):
    _, heard = bullseye
    spec = jobs.spec()
    for done in heard.trials():
        assert done.setup == setup(spec.data, digits, spec.seed, done.index, ".")


def test_progress_never_goes_back_and_every_event_can_be_read_again(bullseye):
    _, heard = bullseye
    for stage in ("craft", "victims"):
        by_detail: dict[str, list[Progress]] = {}
        for said in heard.of(Progress):
            if said.stage == stage:
                by_detail.setdefault(said.detail, []).append(said)
        assert by_detail
        for said in by_detail.values():
            assert [p.done for p in said] == sorted(p.done for p in said)
            assert said[-1].done == said[-1].total
    for message in heard:
        assert EVENT.validate_json(message.model_dump_json()) == message


def test_the_same_job_gives_the_same_bits_elsewhere(bullseye, tmp_path):
    _, heard = bullseye
    for done, again in zip(heard.trials(), run(tmp_path).trials(), strict=True):
        assert again.poison_set_hash == done.poison_set_hash
        assert again.craft_hash == done.craft_hash
        for one, two in zip(done.outcomes, again.outcomes, strict=True):
            assert (one.poisoned, one.twin) == (two.poisoned, two.twin)
            assert one.outcome_hash == two.outcome_hash


def test_a_trial_does_not_depend_on_the_others_of_its_job(bullseye, tmp_path):
    _, heard = bullseye
    (alone,) = run(tmp_path, indices=(2,)).trials()
    together = heard.trials()[2]
    assert alone.setup == together.setup and alone.craft_hash == together.craft_hash
    assert alone.final_loss == pytest.approx(together.final_loss, rel=1e-3)
    for one, two in zip(alone.outcomes, together.outcomes, strict=True):
        assert one.outcome_hash == two.outcome_hash
        assert one.twin.margin == pytest.approx(two.twin.margin, abs=1e-3)


def test_the_control_equals_its_twin_trial_by_trial(tmp_path):
    heard = run(tmp_path, jobs.spec(params.NoPerturbation()))
    for done in heard.trials():
        assert done.linf_255 == 0 and done.mean_l2 == 0 and done.ssim == pytest.approx(1)
        assert done.final_loss is None
        for outcome in done.outcomes:
            assert outcome.poisoned == outcome.twin
            assert outcome.success == outcome.twin_success


def test_all_attacks_share_setups_and_twins(bullseye, tmp_path):
    _, heard = bullseye
    control = run(tmp_path, jobs.spec(params.NoPerturbation()))
    for one, two in zip(heard.trials(), control.trials(), strict=True):
        assert one.setup == two.setup and one.craft_hash != two.craft_hash
        for with_attack, without in zip(one.outcomes, two.outcomes, strict=True):
            assert with_attack.twin.prediction == without.twin.prediction
            assert with_attack.twin.margin == pytest.approx(without.twin.margin, abs=1e-3)


def test_many_small_batches_do_what_one_large_one_does(bullseye, tmp_path, monkeypatch):
    _, heard = bullseye
    monkeypatch.setattr(inputs, "CPU_ROWS", 4)
    small = run(tmp_path)
    order = [type(m).__name__ for m in small if isinstance(m, TrialDone)]
    assert len(order) == 3
    first_done = next(i for i, m in enumerate(small) if isinstance(m, TrialDone))
    later = [m for m in small[first_done:] if isinstance(m, Progress) and m.stage == "craft"]
    assert later, "a trial is told as soon as it is done, not at the end of the job"
    for one, two in zip(small.trials(), heard.trials(), strict=True):
        assert one.craft_hash == two.craft_hash
        assert [o.outcome_hash for o in one.outcomes] == [o.outcome_hash for o in two.outcomes]


def test_a_second_attempt_crafts_nothing_again(tmp_path, monkeypatch):
    first = run(tmp_path)
    monkeypatch.setattr(crafting, "_craft", lambda *a: pytest.fail("crafted anew"))
    again = run(tmp_path)
    assert [d.poison_set_hash for d in again.trials()] == [
        d.poison_set_hash for d in first.trials()
    ]
    assert [d.final_loss for d in again.trials()] == [d.final_loss for d in first.trials()]


@pytest.mark.parametrize("damage", ["cut", "gone", "changed", "note"])
def test_a_damaged_result_of_an_earlier_attempt_is_made_anew(tmp_path, damage):
    first = run(tmp_path).trials()[0]
    path = tmp_path / "work" / first.poison_set
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:100])
    elif damage == "gone":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (tmp_path / "work" / "crafted" / f"{first.craft_hash}.json").write_text("{")
    again = run(tmp_path).trials()[0]
    assert again.craft_hash == first.craft_hash
    made = tmp_path / "work" / again.poison_set
    assert poison_set.load(made).content_hash == made.stem


def test_an_interrupted_craft_goes_on_where_it_was(tmp_path, bullseye, monkeypatch):
    from poisoning.attacks import report as reports

    _, uninterrupted = bullseye
    monkeypatch.setattr(reports.Report.__init__, "__defaults__", (None, None, "", (), 0.0))
    monkeypatch.setattr(reports, "REPORT_EVERY_S", 0.0)

    class Killed(BaseException):
        pass

    steps = []

    def die_at_three(message):
        if isinstance(message, Progress) and message.stage == "craft":
            steps.append(message.done)
            if len(steps) == 3:
                raise Killed

    with pytest.raises(Killed):
        trial.run(jobs.job(tmp_path), die_at_three)
    assert (tmp_path / "work" / crafting.STATE).is_file()
    heard = run(tmp_path)
    assert steps == [3, 6, 9]  # three trials, step by step
    crafted = [m.done for m in heard.of(Progress) if m.stage == "craft"]
    assert crafted[0] == 9  # two steps had been saved; the third is done anew
    assert [d.poison_set_hash for d in heard.trials()] == [
        d.poison_set_hash for d in uninterrupted.trials()
    ]
    assert not (tmp_path / "work" / crafting.STATE).exists()


CHANGES = [
    {"attack": params.BullseyePolytope(eps_255=15, steps=5)},
    {"seed": 12},
    {"surrogates": ("grey",)},
    {"data": DataSpec(dataset="digits_5_9", train_size=60, poisons=4, normalize=False)},
    {"precision": "fast"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
def test_whatever_changes_poisons_changes_the_craft_hash(change, tmp_path):
    def craft_hash(spec):
        loaded = inputs.Inputs(jobs.job(tmp_path, spec))
        drawn = setup(spec.data, loaded.data, spec.seed, 0, ".")
        return crafting.craft_hash(loaded, 0, drawn)

    assert craft_hash(jobs.spec()) == craft_hash(jobs.spec(trials=2, profile="paper"))
    assert craft_hash(jobs.spec()) != craft_hash(jobs.spec(**change))


def test_a_label_is_only_a_name_but_a_recipe_changes_the_outcome_hash(bullseye, tmp_path):
    _, heard = bullseye
    recipe = jobs.RECIPE.model_copy(update={"weight_decay": 0.1})
    victims = (
        victim_params.FrozenVictim(checkpoint="white", recipe=jobs.RECIPE, label="as published"),
        victim_params.FrozenVictim(checkpoint="white", recipe=recipe),
    )
    (done,) = run(tmp_path, jobs.spec(victims=victims), indices=(0,)).trials()
    before = heard.trials()[0].outcomes[0].outcome_hash
    assert done.outcomes[0].outcome_hash == before != done.outcomes[1].outcome_hash


# --- faults -----------------------------------------------------------------------------------


def failed(job):
    heard = jobs.Heard()
    found = work.execute(job, heard)
    assert found is not None and heard[-1] == found
    assert not heard.trials()
    return found


def test_a_done_job_starts_with_where_and_ends_with_how_long(tmp_path):
    heard = jobs.Heard()
    assert work.execute(jobs.job(tmp_path, jobs.spec(trials=1)), heard) is None
    assert isinstance(heard[0], Started) and heard[0].provenance["versions"]["torch"]
    assert isinstance(heard[-1], Done)


def test_a_missing_checkpoint_is_named(tmp_path):
    job = jobs.job(tmp_path)
    paths = {name: path for name, path in job.checkpoints.items() if name != "grey"}
    found = failed(job.model_copy(update={"checkpoints": paths}))
    assert (found.reason, found.field) == ("bad_input", "victims.1.checkpoint")
    assert "'grey'" in found.message


def test_a_damaged_checkpoint_is_named(tmp_path):
    job = jobs.job(tmp_path)
    path = Path(job.checkpoints["white"])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    found = failed(job)
    assert found.reason == "bad_data" and "white" in found.message and found.remedy


def test_a_missing_data_folder_is_named_with_a_remedy(tmp_path):
    data = DataSpec(dataset="cifar10", train_size=100, poisons=2)
    found = failed(jobs.job(tmp_path, jobs.spec(data=data)))
    assert (found.reason, found.field) == ("bad_data", "data.dataset")
    assert "cifar-10-batches-py" in found.message and found.remedy


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_a_full_memory_is_told_with_a_remedy(tmp_path, monkeypatch, error):
    def full(*arguments):
        raise error

    monkeypatch.setattr(crafting, "_craft", full)
    found = failed(jobs.job(tmp_path))
    assert found.reason == "out_of_memory" and found.field and found.remedy


def test_an_attack_that_breaks_its_budget_is_caught_from_outside(tmp_path, monkeypatch):
    from poisoning.attacks import bullseye_polytope

    def cheat(attack, batch, surrogates, report):
        return batch.bases.sub(17 / 255).abs()

    monkeypatch.setattr(bullseye_polytope, "craft", cheat)
    found = failed(jobs.job(tmp_path))
    assert (found.reason, found.field) == ("budget_broken", "eps_255")
    assert "17/255" in found.message


def test_an_objective_that_is_no_number_is_told(tmp_path):
    attack = params.BullseyePolytope(eps_255=16, steps=5, learning_rate=1e38)
    spec = jobs.spec(attack)
    object.__setattr__(spec.attack, "learning_rate", float("nan"))
    found = failed(jobs.job(tmp_path, spec))
    assert (found.reason, found.field) == ("bad_input", "attack")


def test_a_training_that_diverges_is_told_by_victim(tmp_path):
    recipe = victim_params.Recipe(epochs=30, learning_rate=1e30, momentum=0.99, weight_decay=1e5)
    victims = (
        victim_params.FrozenVictim(checkpoint="white", recipe=jobs.RECIPE),
        victim_params.FrozenVictim(checkpoint="grey", recipe=recipe),
    )
    found = failed(jobs.job(tmp_path, jobs.spec(victims=victims)))
    assert (found.reason, found.field) == ("bad_input", "victims.1.recipe.learning_rate")


def test_an_unforeseen_fault_is_an_error_with_its_name(tmp_path, monkeypatch, capsys):
    def stumble(*arguments):
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(crafting, "_craft", stumble)
    found = failed(jobs.job(tmp_path))
    assert found == Failed(reason="error", message="ZeroDivisionError: by nought")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "reason", "field"),
    [
        (FieldError("trials", "too many", "fewer"), "bad_input", "trials"),
        (DataError("gone", "fetch it"), "bad_data", "data.dataset"),
        (check.BudgetBroken("labels", "wrong"), "budget_broken", "labels"),
        (RuntimeError("shapes differ"), "error", None),
    ],
)
def test_every_family_of_errors_has_its_words(error, reason, field):
    found = work.explain(error)
    assert (found.reason, found.field) == (reason, field)


def test_no_state_is_left_behind(tmp_path):
    run(tmp_path)
    left = {path.suffix for path in (tmp_path / "work").rglob("*") if path.is_file()}
    assert left == {".safetensors", ".json"}
    assert len(os.listdir(tmp_path / "work" / "crafted")) == 3
    note = next((tmp_path / "work" / "crafted").iterdir())
    names = {"file", "seconds", "device_seconds", "final_loss", "provenance"}
    assert set(json.loads(note.read_text())) == names


def test_a_trial_on_real_cifar10(real_data, tmp_path, cifar10):
    data = DataSpec(dataset="cifar10", train_size=200, poisons=3)
    recipe = victim_params.Recipe(optimizer="adam", learning_rate=0.01, epochs=20)
    victims = (victim_params.FrozenVictim(checkpoint="black", recipe=recipe),)
    spec = jobs.spec(data=data, victims=victims, surrogates=("black",), trials=2)
    job = jobs.job(tmp_path, spec)
    machine = job.machine.model_copy(update={"data_dir": str(real_data)})
    heard = jobs.Heard()
    trial.run(job.model_copy(update={"machine": machine}), heard)
    for done in heard.trials():
        stored = poison_set.load(tmp_path / "work" / done.poison_set)
        found = check.check(
            stored, cifar10.train.images.numpy(), cifar10.train.labels.numpy(), "linf", 16
        )
        assert found.linf_255 == done.linf_255 <= 16
        assert done.outcomes[0].clean_images == 10_000
        # random features are features, too: far above chance
        assert done.outcomes[0].poisoned.clean_accuracy > 0.15
        assert done.outcomes[0].twin.clean_accuracy > 0.15
