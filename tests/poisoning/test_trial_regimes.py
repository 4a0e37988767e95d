"""Trials whose victims are trained whole, that draw their checkpoint, or that fill the memory."""

import pytest

from poisoning import catalog, crafting, trial, victim_params
from poisoning.events import Log, Progress
from poisoning.spec import FieldError
from tests.poisoning import jobs

UNTIMED = {"seconds": 0, "device_seconds": None}
BRIEF = victim_params.Recipe(epochs=1, batch_size=32, learning_rate=0.05, drop_epochs=())
WHOLE = (
    victim_params.EndToEndVictim(checkpoint="white", recipe=BRIEF),
    victim_params.FromScratchVictim(model="resnet6_w16", recipe=BRIEF, shared_twins=0),
    victim_params.FromScratchVictim(model="convnet3", recipe=BRIEF, shared_twins=1),
)


def run(folder, spec, indices=None, **machine):
    heard, job = jobs.Heard(), jobs.job(folder, spec, indices)
    changed = job.machine.model_copy(update=machine)
    trial.run(job.model_copy(update={"machine": changed}), heard)
    return heard


def test_access_of_victims_that_are_trained_whole(tmp_path):
    (done,) = run(tmp_path, jobs.spec(victims=WHOLE, trials=1)).trials()
    assert [o.access for o in done.outcomes] == ["white_box", "grey_box", "black_box"]
    assert all(len(o.extras.variants) == len(o.extras.twin_variants) == 9 for o in done.outcomes)
    for outcome in done.outcomes:
        assert outcome.explanation is not None
        assert len(outcome.explanation.poisons) == 4
        assert outcome.explanation.margins[-1][1] == pytest.approx(
            outcome.poisoned.margin, abs=1e-3
        )


def test_progress_of_slow_victims_never_goes_back_and_ends_full(tmp_path):
    heard = run(tmp_path, jobs.spec(victims=WHOLE, trials=2))
    for name in {said.detail.split(", trials")[0] for said in heard.of(Progress)} - {""}:
        shares = [
            said.done / said.total
            for said in heard.of(Progress)
            if said.stage == "victims" and said.detail.startswith(name)
        ]
        assert shares == sorted(shares)
        assert not shares or shares[-1] == pytest.approx(1)


def test_a_judged_victim_is_not_trained_again(tmp_path, monkeypatch):
    spec, trained = jobs.spec(victims=WHOLE[:1], trials=3), []
    real = catalog.resolve

    def watched(target):
        found = real(target)
        if "victims" not in target:
            return found

        def train(victim, inputs, batch, report):
            trained.append(batch.indices)
            if len(trained) == 3:
                raise KeyboardInterrupt
            return found(victim, inputs, batch, report)

        return train

    monkeypatch.setattr(trial.catalog, "resolve", watched)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, spec)
    assert trained == [(0,), (1,), (2,)]
    second = run(tmp_path, spec)
    assert trained[3:] == [(2,)]
    monkeypatch.undo()
    (tmp_path / "fresh").mkdir()
    fresh = run(tmp_path / "fresh", spec)
    pairs = zip(second.trials(), fresh.trials(), strict=True)
    for resumed, uninterrupted in pairs:
        ours, theirs = (
            one.outcomes[0].model_copy(update=UNTIMED) for one in (resumed, uninterrupted)
        )
        assert ours == theirs


def test_every_trial_draws_its_checkpoint_and_the_white_box_is_the_drawn_one(tmp_path):
    spec = jobs.spec(
        surrogates=("sampled",),
        sampled_from=("white", "grey"),
        victims=(
            victim_params.FrozenVictim(checkpoint="sampled", recipe=jobs.RECIPE),
            victim_params.FrozenVictim(checkpoint="white", recipe=jobs.RECIPE),
        ),
        trials=6,
        seed=12,
    )
    drawn = [spec.drawn_checkpoint(index) for index in range(6)]
    assert set(drawn) == {"white", "grey"}
    found = {done.index: done for done in run(tmp_path, spec).trials()}
    assert sorted(found) == list(range(6))
    for index, name in enumerate(drawn):
        sampled, fixed = found[index].outcomes
        assert sampled.access == "white_box" and sampled.extras.checkpoint == name
        assert fixed.access == ("white_box" if name == "white" else "grey_box")
        assert fixed.extras.checkpoint is None
        # as if the drawn one had been named, and nothing else is changed by drawing
        (alone,) = run(tmp_path, spec.for_trial(index), (index,)).trials()
        assert alone.craft_hash == found[index].craft_hash
        assert alone.outcomes[0].outcome_hash == sampled.outcome_hash


def test_a_batch_that_fills_the_memory_goes_on_in_halves(tmp_path, monkeypatch):
    real, sizes = crafting.craft, []

    def hungry(inputs, indices, setups, on_step):
        sizes.append(len(indices))
        if len(indices) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return real(inputs, indices, setups, on_step)

    monkeypatch.setattr(crafting, "craft", hungry)
    heard = run(tmp_path, jobs.spec(trials=5))
    assert [done.index for done in heard.trials()] == [0, 1, 2, 3, 4]
    assert sizes == [5, 2, 3, 1, 2]
    warnings = [said.message for said in heard.of(Log) if said.level == "warning"]
    assert len(warnings) == 2 and "do not fit into memory" in warnings[0]


def test_a_single_trial_that_fills_the_memory_is_an_error(tmp_path, monkeypatch):
    def hungry(*given):
        raise MemoryError

    monkeypatch.setattr(crafting, "craft", hungry)
    with pytest.raises(MemoryError):
        run(tmp_path, jobs.spec(trials=2))


def test_a_last_layer_of_other_classes_cannot_be_kept(tmp_path):
    victim = victim_params.EndToEndVictim(checkpoint="white", recipe=BRIEF, keeps_linear=True)
    with pytest.raises(FieldError) as caught:
        run(tmp_path, jobs.spec(victims=(victim,), trials=1))
    assert caught.value.field == "victims.0.keeps_linear"


def test_shared_twins_are_trained_once_for_all_jobs_of_a_machine(tmp_path):
    spec = jobs.spec(victims=WHOLE[2:], trials=2)
    cache = tmp_path / "cache"
    (first,) = run(tmp_path, spec, (0,), cache_dir=str(cache)).trials()
    kept = list(cache.glob("twins/*"))
    assert len(kept) == 1
    (second,) = run(tmp_path, spec, (1,), cache_dir=str(cache)).trials()
    assert list(cache.glob("twins/*")) == kept
    assert first.outcomes[0].twin.clean_accuracy == second.outcomes[0].twin.clean_accuracy


def test_poisons_are_crafted_once_for_all_experiments_of_a_machine(tmp_path, monkeypatch):
    spec, cache = jobs.spec(trials=2), str(tmp_path / "cache")
    first = run(tmp_path, spec, cache_dir=cache).trials()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(crafting, "_craft", None)  # nothing may be crafted any more
    other = jobs.spec(trials=2, victims=jobs.spec().victims[:1])
    second = run(tmp_path / "other", other, cache_dir=cache).trials()
    for ours, theirs in zip(second, first, strict=True):
        assert ours.model_dump(exclude={"outcomes"}) == theirs.model_dump(exclude={"outcomes"})
        assert ours.outcomes[0].poisoned == theirs.outcomes[0].poisoned
        assert (tmp_path / "other" / "work" / ours.poison_set).is_file()


def test_a_damaged_shared_poison_set_is_crafted_anew(tmp_path):
    spec, cache = jobs.spec(trials=1), tmp_path / "cache"
    (first,) = run(tmp_path, spec, cache_dir=str(cache)).trials()
    for path in cache.glob("crafted/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / "other").mkdir()
    (second,) = run(tmp_path / "other", spec, cache_dir=str(cache)).trials()
    assert second.poison_set == first.poison_set
    (tmp_path / "alone").mkdir()
    (third,) = run(tmp_path / "alone", spec, cache_dir=str(cache)).trials()
    assert third.craft_seconds == second.craft_seconds, "the damaged one was replaced"
