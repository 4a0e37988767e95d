"""Every study in every profile: what it runs, and what its tables make of what was found."""

import itertools
import subprocess
import sys
from collections import Counter

import pytest

from poisoning import catalog, published, tables, targets
from poisoning.cli import main
from poisoning.events import Extras, Judged, OutcomeResult, Setup, TrialDone
from poisoning.params import NoPerturbation
from poisoning.profiles import SCALES, SMALL_DATA
from poisoning.published import Published
from poisoning.recipes import RECIPES
from poisoning.results import Results
from poisoning.spec import DataSpec, ExperimentSpec, FieldError, spec_hash
from poisoning.stats import SEQUENCE_NOTE, confidence_sequence, estimate, excess_sequence
from poisoning.studies import STUDIES, dataset_size
from poisoning.studies.filling import judge
from poisoning.studies.flips_and_shifts import VARIANTS
from poisoning.studies.study import Line, Place, Study
from poisoning.victim_params import FrozenVictim

EACH = [(study, profile) for study in STUDIES.values() for profile in study.profiles]
NAMES = [f"{study.name}-{profile}" for study, profile in EACH]
BASE = 3


@pytest.mark.parametrize(("study", "profile"), EACH, ids=NAMES)
def test_every_study_can_be_launched_in_each_of_its_profiles(study, profile):
    made = study.experiments(profile)
    assert study.title and study.description and made
    assert len({title for title, _ in made}) == len(made)
    for _, spec in made:
        assert spec.profile == profile
        assert {name for _, name in spec.checkpoint_names()} <= RECIPES.keys()
        assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def networks(spec):
    """The architecture of everything a spec names; of what trials draw from, the first's."""
    names = [*spec.surrogates, *spec.sampled_from[:1]]
    names += [getattr(v, "checkpoint", None) or v.model for v in spec.victims]
    return [RECIPES[name].model if name in RECIPES else name for name in names]


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_what_differs_on_paper_differs_in_small(study):
    """No two experiments, victims, surrogates or architectures of a smoke study fall together."""
    made = study.experiments("smoke")
    for _, spec in made:
        assert len(set(spec.surrogates)) == len(spec.surrogates)
        victims = [victim.model_dump_json(exclude={"label"}) for victim in spec.victims]
        assert len(set(victims)) == len(victims)
    if "paper" in study.profiles:
        whole = study.experiments("paper")
        count = len({spec_hash(spec) for _, spec in whole})
        assert len({spec_hash(spec) for _, spec in made}) == count
        pairs = set()
        for (_, paper), (_, small) in zip(whole, made, strict=True):
            pairs |= set(zip(networks(paper), networks(small), strict=True))
        assert len({small for _, small in pairs}) == len(pairs)
        assert len({paper for paper, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("name", ["COUNT", "FRACTION"])
def test_the_sizes_of_training_sets_and_of_doses_still_differ_in_small(name):
    """A fixed number of poisons stays fixed, a fixed share still means more in larger sets."""
    title, study = getattr(dataset_size, name), STUDIES["dataset_size"]
    rows = {}
    for line in study.lines("smoke"):
        for place in line.places:
            if place.table == title:
                rows.setdefault(place.row, []).append(line.spec.data)
    for found in rows.values():
        sizes = [data.train_size for data in found]
        poisons = [data.poisons for data in found]
        assert sizes == sorted(set(sizes))
        if name == "COUNT":
            assert len(set(poisons)) == 1
        else:
            assert poisons == sorted(set(poisons))


def test_smoke_studies_need_no_download_but_two_and_have_five_trials():
    downloads = {
        study.name
        for study in STUDIES.values()
        for _, spec in study.experiments("smoke")
        if catalog.dataset(spec.data.dataset).folder
    }
    assert downloads <= {"benchmark_tinyimagenet_transfer", "benchmark_tinyimagenet_from_scratch"}
    for study in STUDIES.values():
        assert all(spec.trials >= 5 for _, spec in study.experiments("smoke"))
    assert {small.dataset for small in SMALL_DATA.values()} == {"digits_5_9", "tinyimagenet_subset"}


def test_paper_studies_have_a_hundred_trials():
    for study in STUDIES.values():
        if "paper" in study.profiles:
            assert {spec.trials for _, spec in study.experiments("paper")} == {100}


def test_the_names_of_moved_targets_are_those_that_are_asked():
    assert tuple(VARIANTS) == targets.VARIANTS


def test_studies_and_tables_are_torch_free():
    code = "import sys, poisoning.studies; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- tables of what was found -----------------------------------------------------------------


def judged(accuracy):
    return Judged(prediction=0, confidence=0.5, margin=0.1, clean_accuracy=accuracy)


def trial(index, victims, is_fooled, is_twin_fooled=False, moved=False, linf_255=0):
    said = {True: BASE, False: 0}
    one = OutcomeResult(
        victim=0, access="white_box", success=is_fooled, twin_success=is_twin_fooled,
        poisoned=judged(0.8), twin=judged(0.85), clean_images=10, seconds=0.1, outcome_hash="x",
        extras=Extras(
            variants=dict.fromkeys(targets.VARIANTS, said[moved]),
            twin_variants=dict.fromkeys(targets.VARIANTS, 0),
        ),
    )  # fmt: skip
    return TrialDone(
        index=index,
        setup=Setup(target_class=0, target_index=index, base_class=BASE, base_indices=(1,)),
        poison_set="x", poison_set_hash="x", craft_hash=f"c{index}", craft_seconds=0.1,
        linf_255=linf_255, mean_l2=0.1, ssim=0.9, final_loss=None,
        outcomes=tuple(one.model_copy(update={"victim": v}) for v in range(victims)),
    )  # fmt: skip


def found_of(study, profile, share=0.4):
    """As if every experiment of a study had been run, each with the same rate."""
    return [
        Results(
            title,
            spec,
            [trial(i, len(spec.victims), i < share * spec.trials) for i in range(spec.trials)],
        )
        for title, spec in study.experiments(profile)
    ]


@pytest.mark.parametrize(("study", "profile"), EACH, ids=NAMES)
def test_every_cell_of_a_study_is_filled_from_its_experiments(study, profile):
    found = found_of(study, profile)
    made = [table for table in study.tables(found) if table.cells]
    assert made
    specs = {results.title: results.spec for results in found}
    for table in made:
        places = Counter((cell.row, cell.column) for cell in table.cells)
        assert set(places.values()) == {1}, "a cell stands twice"
        for cell in table.cells:
            assert cell.n == specs[cell.experiment].trials
            assert cell.note == "" or profile
            assert all(0 <= victim < len(specs[cell.experiment].victims) for victim in cell.victims)
    used = {cell.experiment for table in made for cell in table.cells}
    assert used == specs.keys(), "an experiment fills no cell"


@pytest.mark.parametrize(("study", "profile"), EACH, ids=NAMES)
def test_only_the_paper_profile_is_compared_with_what_is_published(study, profile):
    cells = [cell for table in study.tables(found_of(study, profile)) for cell in table.cells]
    if profile != "paper":
        assert not any(cell.verdict for cell in cells)
    if profile == "smoke":
        assert all(cell.published is published.NOTHING for cell in cells)
    if profile == "paper":
        known = [cell for cell in cells if cell.published.n]
        assert all(cell.verdict for cell in known)


def test_the_benchmarks_cells_stand_beside_their_own_figures():
    study = STUDIES["benchmark_cifar10_transfer"]
    found = found_of(study, "paper", share=0.85)
    frozen = study.tables(found)[0]
    cells = {(cell.row, cell.column): cell for cell in frozen.cells}
    white = cells["BP", published.WHITE]
    assert white.published.percent == 85
    # a hundred trials beside a hundred: even the same rate is not known to within ten points
    assert white.verdict.startswith("cannot tell at n = 100; 105 trials could; +0.0 points")
    assert cells["CP", published.WHITE].verdict.startswith("differs")
    assert cells["FC", published.WHITE].published.percent == 22
    assert cells["BP", published.BLACK].victims == (2, 3)
    assert cells["FC, ours", published.WHITE].published is published.NOTHING


def test_a_column_that_is_called_after_another_access_says_what_was_computed():
    """In the ensemble, the architectures of the printed black box are known."""
    study = STUDIES["benchmark_cifar10_transfer"]
    computed = {0: "white_box", 1: "grey_box", 2: "grey_box", 3: "grey_box"}
    found = found_of(study, "paper")
    for results in found:
        results.trials[:] = [
            t.model_copy(update={"outcomes": tuple(
                o.model_copy(update={"access": computed[o.victim]}) for o in t.outcomes)})
            for t in results.trials
        ]  # fmt: skip
    tables = {table.title: table for table in study.tables(found)}
    ensemble = tables["CIFAR-10, transfer, frozen extractor, ensemble of surrogates"]
    cells = {(cell.row, cell.column): cell for cell in ensemble.cells}
    assert cells["BP", published.BLACK].access == "grey box"
    assert cells["BP", published.BLACK].note == 'printed as "black box"; computed: grey box'
    assert cells["BP", published.WHITE].note == ""


def test_the_smoke_tables_say_what_stands_in():
    for name in ("benchmark_tinyimagenet_transfer", "benchmark_tinyimagenet_from_scratch"):
        (note,) = STUDIES[name].tables([], "smoke")[0].notes
        assert "Tiny ImageNet, seven" in note and "mean nothing" in note
    (note,) = STUDIES["baselines"].tables([], "smoke")[0].notes
    assert "Digits 5 to 9" in note


def test_the_reports_own_figures_are_shown_and_never_judged():
    study = STUDIES["report"]
    for table in study.tables(found_of(study, "paper")):
        for cell in table.cells:
            assert cell.published.label == "as reported, unverified" and cell.verdict == ""


def tiny_study(*lines):
    return Study("x", "X", "A study.", lambda profile: lines)


def spec_of(trials=10, profile="paper", poisons=2, victims=1):
    checkpoints = (f"convnet3-digits_0_4-s{seed}" for seed in range(victims))
    return ExperimentSpec(
        attack=NoPerturbation(),
        victims=tuple(FrozenVictim(checkpoint=name) for name in checkpoints),
        data=DataSpec(dataset="digits_5_9", train_size=100, poisons=poisons),
        trials=trials,
        profile=profile,
    )


def test_a_cell_counts_successes_twins_and_moved_targets():
    spec = spec_of()
    study = tiny_study(
        Line("one", spec, (Place("T", "a", "x"), Place("T", "a", "flipped", variant="flip")))
    )
    trials = [trial(i, 1, i < 4, is_twin_fooled=i < 1, moved=i < 7) for i in range(10)]
    (plain, flipped) = study.tables([Results("another title", spec, trials)])[0].cells
    assert (plain.n, plain.successes, plain.twin_successes) == (10, 4, 1)
    assert plain.excess == pytest.approx(0.3)
    assert (plain.clean_accuracy, plain.twin_clean_accuracy) == pytest.approx((0.8, 0.85))
    assert (flipped.successes, flipped.twin_successes) == (7, 0)


def test_a_table_without_results_has_its_lines_and_no_rates():
    made = tiny_study(Line("one", spec_of(), (Place("T", "a", "x"),))).tables([], "paper")[0]
    (cell,) = made.cells
    assert cell.n == 0 and made.lines[0][3] == "0 of 10"


def test_what_was_run_under_another_spec_is_not_taken_for_it():
    found = [Results("one", spec_of(poisons=3), [trial(0, 1, True)])]
    study = tiny_study(Line("one", spec_of(), (Place("T", "a", "x"),)))
    assert study.tables(found, "paper")[0].cells[0].n == 0


def test_a_direction_is_judged_on_the_setups_both_cells_have():
    lower = Published("quoted", "s", direction="lower")
    before, after = spec_of(trials=40), spec_of(trials=40, poisons=3)
    study = tiny_study(
        Line("before", before, (Place("T", "a", "before"),)),
        Line("after", after, (Place("T", "a", "after", published=lower,
                                    reference=("a", "before")),)),
    )  # fmt: skip

    def verdict(first, second):
        found = [
            Results("b", before, [trial(i, 1, i < first) for i in range(40)]),
            Results("a", after, [trial(i, 1, i < second) for i in range(40)]),
        ]
        return study.tables(found)[0].cells[1].verdict

    assert verdict(30, 5).startswith("agrees: -62.5 points")
    assert verdict(5, 30).startswith("differs: +62.5 points")
    assert verdict(10, 9).startswith("cannot tell at n = 40")


@pytest.mark.parametrize(
    ("hits", "words"),
    [(2, "agrees: below 20"), (60, "differs: above 20"), (20, "cannot tell at n = 100")],
)
def test_a_bound_is_judged_by_the_interval(hits, words):
    assert judge(estimate(hits, 100), Published("quoted", "s", below=20)) == words


def test_nothing_on_record_and_a_figure_without_n_are_not_judged():
    assert judge(estimate(5, 10), published.NOTHING) == ""
    assert judge(estimate(5, 10), published.REPORTED["CP"]) == ""


# --- what must hold of every study ------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_a_study_whose_trials_are_missing_does_not_hold(study):
    found = found_of(study, "smoke")
    found[0].trials.pop()
    assert any("4 trials, not 5" in fault for fault in study.verdict(found))


def test_a_poison_over_its_budget_and_a_control_that_changes_anything_do_not_hold():
    study = STUDIES["patch_size"]
    found = found_of(study, "smoke")
    assert study.verdict(found) == []
    over = trial(0, 1, False, linf_255=17)
    found[0].trials[0] = over
    assert any("changes a pixel by more than" in fault for fault in study.verdict(found))
    control = tiny_study(Line("one", spec_of(trials=1), (Place("T", "a", "x"),)))
    (fault,) = control.verdict([Results("one", spec_of(trials=1), [trial(0, 1, True)])])
    assert "not its twin's" in fault


def test_a_profile_a_study_does_not_have_is_refused():
    with pytest.raises(FieldError, match="paper"):
        STUDIES["demonstration"].experiments("paper")


# --- the command line -------------------------------------------------------------------------


def test_the_command_line_lists_all_studies(capsys):
    assert main(["study"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and study.title in shown for name, study in STUDIES.items())


def test_scales_grow():
    for knob in ("trials", "steps", "epochs"):
        sizes = [getattr(SCALES[name], knob) or 10**9 for name in ("smoke", "quick", "paper")]
        assert all(small < large for small, large in itertools.pairwise(sizes)), knob
    assert set(tables.FORMS)


def test_an_experiment_that_was_extended_stays_in_its_table_with_a_confidence_sequence():
    planned, extended = spec_of(trials=10), spec_of(trials=25)
    study = tiny_study(Line("one", planned, (Place("T", "a", "x"),)))
    trials = [trial(i, 1, i % 5 != 0) for i in range(25)]
    table = study.tables([Results("one", extended, trials, is_sequential=True)], "paper")[0]
    (cell,) = table.cells
    assert (cell.n, cell.planned, cell.successes) == (25, 25, 20)
    assert cell.interval == confidence_sequence(20, 25)
    assert cell.excess_interval == excess_sequence(20, 0, 25)[1]
    line = dict(zip(table.header, table.lines[0], strict=True))
    assert line["95 % interval"].endswith("]*") and line["excess"].endswith("]*")
    assert SEQUENCE_NOTE in table.notes
    fixed = study.tables([Results("one", planned, trials[:10])], "paper")[0]
    assert "*" not in "".join(fixed.lines[0]) and SEQUENCE_NOTE not in fixed.notes


def test_one_that_may_stop_early_need_not_have_all_its_trials():
    trials = [trial(i, 1, False) for i in range(6)]
    study = tiny_study(Line("one", spec_of(), (Place("T", "a", "x"),)))
    assert study.verdict([Results("one", spec_of(), trials)]) == ["one: 6 trials, not 10"]
    assert study.verdict([Results("one", spec_of(), trials, is_sequential=True)]) == []


def test_a_direction_is_judged_by_a_sequence_where_one_of_the_two_has_one():
    lower = Published("quoted", "s", direction="lower")
    before, after = spec_of(trials=40), spec_of(trials=40, poisons=3)
    study = tiny_study(
        Line("before", before, (Place("T", "a", "before"),)),
        Line("after", after, (Place("T", "a", "after", published=lower,
                                    reference=("a", "before")),)),
    )  # fmt: skip

    def verdict(is_first, is_second):
        found = [
            Results("b", before, [trial(i, 1, i < 12) for i in range(40)], is_first),
            Results("a", after, [trial(i, 1, i < 2) for i in range(40)], is_second),
        ]
        return study.tables(found)[0].cells[1].verdict

    assert verdict(False, False).startswith("agrees: -25.0 points")
    _, interval = excess_sequence(0, 10, 40)
    limits = f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    for told in ((True, False), (False, True)):
        assert limits in verdict(*told)


@pytest.mark.parametrize(("study", "profile"), EACH, ids=NAMES)
def test_no_two_experiments_of_a_study_differ_in_their_trials_alone(study, profile):
    specs = {spec_hash(spec): spec for _, spec in study.experiments(profile)}
    alike = {spec_hash(spec.model_copy(update={"trials": 1})) for spec in specs.values()}
    assert len(alike) == len(specs)
