"""Verifying a bundle: trials run again, verdicts and bits told apart, and an honest status."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from poisoning import bundle, cli, trial, verify
from poisoning.bundle import About, Bundle, CheckpointRow, Manifest, Ran, Received
from poisoning.results import Results
from poisoning.spec import DataSpec, PretrainSpec
from tests.poisoning import jobs

OK, DIFFERS, REFUSED, LACKING = 0, 1, 2, 3
RECIPE = PretrainSpec(model="convnet3", dataset="digits_0_4", epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, Bundle]:
    """Three trials on untrained networks, and the bundle of them."""
    folder = tmp_path_factory.mktemp("ran")
    heard, job = jobs.Heard(), jobs.job(folder)
    trial.run(job, heard)
    cards = [json.loads((folder / f"{name}.json").read_text()) for name in jobs.NAMES]
    rows = [CheckpointRow(name=c["name"], sha256=c["sha256"], card=c) for c in cards]
    about = About(kind="run", title="BP")
    return folder, bundle.of_results(
        about, [Ran(1, "done", Results("BP", job.spec, heard.trials()))], rows
    )


def checked(made: Bundle, folder: Path, *options: str, poisons: dict[str, Path] | None = None):
    path = folder / "bundle.zip"
    with path.open("wb") as file:
        bundle.write(made, file, poisons)
    places = ("--out", str(folder / "out"), "--threads", "1", "--device", "cpu")
    return cli.main(["verify", str(path), *places, *options])


def test_trials_run_again_agree_bit_by_bit(ran, tmp_path, capsys):
    folder, made = ran
    status = checked(made, tmp_path, "--sample", "9", "--checkpoints", str(folder))
    said = capsys.readouterr().out
    assert status == OK and "Running 3 of 3 trials again" in said
    assert "Reproduced: all verdicts of 3 trials match, and their poisons bit by bit." in said
    assert said.count("verdicts match") == 9 and said.count("poison set equal") == 3
    assert said.count("given, the same bits") == 3
    assert not list((tmp_path / "out").glob("tmp*")), "nothing is left behind"


def test_a_verdict_that_comes_out_otherwise_is_told(ran, tmp_path, capsys):
    """A forger who keeps every sum right is found by running it."""
    folder, made = ran
    first, *others = made.outcomes
    base, other = (made.trials[0].setup.base_class, made.trials[0].setup.target_class)
    turned = {
        "success": not first.success,
        "poisoned": first.poisoned.model_copy(
            update={"prediction": other if first.success else base}
        ),
    }
    forged = replace(made, outcomes=[first.model_copy(update=turned), *others])
    status = checked(forged, tmp_path, "--sample", "3", "--checkpoints", str(folder))
    said = capsys.readouterr().out
    assert status == DIFFERS and "hashes, verdicts and tables follow" in said
    assert "Not reproduced: 1 of 9 outcomes of 3 trials came out otherwise." in said
    assert said.count("verdicts DIFFER") == 1


def test_other_bits_with_the_same_verdicts_are_no_failure(ran, tmp_path, capsys):
    folder, made = ran
    first, *others = made.trials
    other = first.model_copy(update={"poison_set": "0" * 64})
    near = [one.model_copy(update={"poisoned": one.poisoned.model_copy(
        update={"margin": one.poisoned.margin + 0.5})}) for one in made.outcomes[:1]]  # fmt: skip
    moved = replace(made, trials=[other, *others], outcomes=[*near, *made.outcomes[1:]])
    status = checked(moved, tmp_path, "--sample", "3", "--checkpoints", str(folder))
    said = capsys.readouterr().out
    assert status == OK and "poison set differs" in said
    assert "The poisons of 1 differ in bits" in said and "margins differ by at most 0.5." in said


def test_poisons_that_are_there_are_compared_pixel_by_pixel(ran, tmp_path, capsys):
    folder, made = ran
    kept = {
        row.poison_set: folder / "work" / f"{row.poison_set}.safetensors" for row in made.trials
    }
    one, two, _ = made.trials
    swapped = one.model_copy(update={"poison_set": two.poison_set})
    mixed = replace(made, trials=[swapped, *made.trials[1:]])
    named = ("--sample", "3", "--checkpoints", str(folder))
    assert checked(mixed, tmp_path, *named, poisons=kept) == OK
    assert "poison set differs, by at most" in capsys.readouterr().out


def test_another_setup_is_not_reproduced(ran, tmp_path, monkeypatch, capsys):
    folder, made = ran
    compare = verify._compare
    monkeypatch.setattr(
        verify, "_compare", lambda *given: replace(compare(*given), is_same_setup=False)
    )
    status = checked(made, tmp_path, "--sample", "1", "--checkpoints", str(folder))
    assert status == DIFFERS and "were not reproduced" in capsys.readouterr().out


def test_a_checkpoint_without_a_recipe_is_named(ran, tmp_path, capsys):
    _, made = ran
    assert checked(made, tmp_path, "--sample", "2") == LACKING
    said = capsys.readouterr().out
    assert "checkpoint white" in said and "--checkpoints" in said
    assert said.count("not run") == 2 and "2 drawn trials could not be run here" in said


def with_recipe(made: Bundle, recipe) -> Bundle:
    rows = [
        row.model_copy(update={"card": row.card | {"recipe": recipe}}) for row in made.checkpoints
    ]
    return replace(made, checkpoints=rows)


def test_a_recipe_that_cannot_be_used_is_told(ran, tmp_path, capsys):
    _, made = ran
    assert checked(with_recipe(made, {"model": "none"}), tmp_path) == LACKING
    assert "the recipe of white cannot be used" in capsys.readouterr().out


def test_a_missing_checkpoint_is_trained_by_its_recipe(tmp_path, capsys):
    """It need not have the same bits; what was made of it is compared all the same."""
    spec = jobs.spec(
        surrogates=("black",),
        victims=jobs.spec().victims[2:],
        trials=1,
    )
    heard, job = jobs.Heard(), jobs.job(tmp_path, spec)
    trial.run(job, heard)
    card = json.loads((tmp_path / "black.json").read_text())
    row = CheckpointRow(name="black", sha256=card["sha256"], card=card)
    results = Results("BP", spec, heard.trials())
    made = bundle.of_results(About(kind="run", title="BP"), [Ran(1, "done", results)], [row])
    status = checked(with_recipe(made, RECIPE.model_dump(mode="json")), tmp_path, "--sample", "1")
    said = capsys.readouterr()
    assert status in (OK, DIFFERS) and "trained by its recipe: convnet3" in said.err
    assert "checkpoint black: trained here, other bits than in the bundle" in said.out
    assert "craft_hash differs" in said.out
    assert (tmp_path / "out" / "checkpoints" / "black.safetensors").is_file(), "kept for next time"


def received(made: Bundle) -> Received:
    """As if it had been read from a file."""
    manifest = Manifest(**made.about.model_dump(), program={}, members={})
    return Received(Path("none.zip"), "", manifest, made, {})


def test_data_that_is_not_here_is_told_with_a_remedy(ran, tmp_path):
    folder, made = ran
    spec = jobs.spec(data=DataSpec(dataset="cifar10", train_size=60, poisons=4))
    row = made.experiments[0].model_copy(update={"spec": spec})
    place = verify.Place(tmp_path, tmp_path / "out", given=(folder,))
    report = verify.rerun(
        received(replace(made, experiments=[row])), made.trials[:1], place, lambda *_: None
    )
    assert not report.compared and "cifar-10-batches-py" in report.missing[0].why


def test_a_tampered_bundle_is_refused_by_name(ran, tmp_path, capsys):
    path = tmp_path / "bundle.zip"
    with path.open("wb") as file:
        bundle.write(ran[1], file)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"README.md", b"README.mx"))
    assert cli.main(["verify", str(path)]) == REFUSED
    assert "README.mx: does not belong into a bundle; it is refused" in capsys.readouterr().err


def test_a_bundle_that_contradicts_itself_is_not_run(ran, tmp_path, capsys):
    _, made = ran
    row = made.outcomes[0]
    forged = replace(
        made, outcomes=[row.model_copy(update={"success": not row.success}), *made.outcomes[1:]]
    )
    assert checked(forged, tmp_path) == DIFFERS
    said = capsys.readouterr().out
    assert "does not hold: experiment 1, trial 0, victim 0" in said and "nothing was run" in said


def test_nothing_is_run_where_nothing_is_asked_for(ran, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verify, "rerun", lambda *a: pytest.fail("it ran"))
    assert checked(ran[1], tmp_path, "--sample", "0") == OK
    assert "No trial was run again." in capsys.readouterr().out
    assert checked(ran[1], tmp_path, "--sample", "-1") == REFUSED


def test_the_draw_follows_from_its_seed(ran):
    known = received(ran[1])
    drawn = [[row.trial for row in verify.draw(known, 2, seed)] for seed in range(20)]
    assert drawn[0] == [row.trial for row in verify.draw(known, 2, 0)]
    assert {tuple(row) for row in drawn} == {(0, 1), (0, 2), (1, 2)}


def test_trials_that_draw_a_checkpoint_need_only_that_one(tmp_path):
    spec = jobs.spec(
        surrogates=("sampled",), sampled_from=("white", "grey", "black"),
        victims=[{"regime": "frozen", "checkpoint": "sampled", "recipe": jobs.RECIPE.model_dump()}],
        trials=2,
    )  # fmt: skip
    heard, job = jobs.Heard(), jobs.job(tmp_path, spec)
    trial.run(job, heard)
    cards = [json.loads((tmp_path / f"{name}.json").read_text()) for name in jobs.NAMES]
    rows = [CheckpointRow(name=c["name"], sha256=c["sha256"], card=c) for c in cards]
    made = bundle.of_results(
        About(kind="run", title="BP"), [Ran(1, "done", Results("BP", spec, heard.trials()))], rows
    )
    place = verify.Place(tmp_path, tmp_path / "out", device="cpu", threads=1, given=(tmp_path,))
    for number in range(2):
        drawn = spec.drawn_checkpoint(number)
        only = replace(made, checkpoints=[row for row in made.checkpoints if row.name == drawn])
        row = [one for one in made.trials if one.trial == number]
        report = verify.rerun(received(only), row, place, lambda *_: None)
        assert list(report.networks) == [drawn] and report.compared[0].is_same


@pytest.mark.timeout(900)
def test_the_demonstration_is_run_exported_and_verified_whole(tmp_path, capsys):
    path, out = tmp_path / "demonstration.zip", tmp_path / "run"
    study = ["study", "demonstration", "--profile", "smoke", "--bundle", str(path)]
    assert cli.main([*study, "--out", str(out), "--threads", "1", "--device", "cpu"]) == OK
    capsys.readouterr()
    options = ["--sample", "15", "--checkpoints", str(out / "checkpoints")]
    places = ["--out", str(tmp_path / "again"), "--threads", "1", "--device", "cpu"]
    assert cli.main(["verify", str(path), *options, *places]) == OK
    said = capsys.readouterr().out
    assert "Running 15 of 15 trials again" in said and said.count("poison set equal") == 15
    assert "Reproduced: all verdicts of 15 trials match, and their poisons bit by bit." in said
