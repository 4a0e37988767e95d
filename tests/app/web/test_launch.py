"""The launch form: generated, switched, refused beside the field, sent once."""

import io
import re
from html import escape, unescape

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app.models import Checkpoint, Experiment
from app.web import forms
from app.web.launch import Known, LaunchForm
from app.web.switches import settle
from poisoning import catalog, params, patterns, spec_file, victim_params
from poisoning.spec import BENCHMARK_SETUPS, DataSpec, ExperimentSpec
from poisoning.victim_params import RECIPES, Recipe
from tests.app import rows

GOOD = {
    "idempotency_key": "0123456789abcdef",
    "attack.name": "bullseye_polytope",
    "attack.eps_255": "16",
    "attack.steps": "50",
    "surrogates": rows.WHITE,
    "victims.0.checkpoint": rows.WHITE,
    "data.dataset": "digits_5_9",
    "data.train_size": "500",
    "data.poisons": "5",
    "trials": "4",
    "profile": "smoke",
    "title": "four trials",
}

CHECKPOINTS = [Known(name, "", "digits_0_4", True) for name in (rows.WHITE, rows.BLACK)]


def error_beside(text: str, field: str) -> str:
    """What stands beside a field, or ''."""
    found = re.search(rf'<p class="error" id="{re.escape(field)}-error">([^<]*)</p>', text)
    return found[1] if found else ""


def count(app: FastAPI, noun: type = Experiment) -> int:
    with app.state.database.read() as session:
        return session.query(noun).count()


@pytest.mark.parametrize("name", catalog.ATTACKS)
def test_every_knob_of_every_attack_has_an_input_with_its_default(
    full: TestClient, name: str
) -> None:
    text = full.get("/experiments/new", params={"attack.name": name}).text
    model = catalog.attack(name).params
    for knob, info in model.model_fields.items():
        if knob == "name":
            continue
        box = rf'name="attack.{knob}" value="{{0}}"'
        choice = rf'name="attack.{knob}"[^>]*>\s*(<option[^>]*>[^<]*</option>)*?'
        either = f'{box}|{choice}<option value="{{0}}" selected>'
        assert re.search(either.format(re.escape(forms.typed(info.default))), text), knob
        assert escape(info.description or info.title or "").replace("&#x27;", "&#39;") in text


def test_the_form_covers_the_whole_spec(full: TestClient) -> None:
    text = full.get("/experiments/new").text
    names = set(re.findall(r'name="([^"]+)"', text))
    wanted = {f"data.{name}" for name in DataSpec.model_fields}
    wanted |= {f"victims.0.recipe.{name}" for name in Recipe.model_fields}
    wanted |= set(ExperimentSpec.model_fields) - {"attack", "victims", "data"}
    assert wanted <= names


SCRATCH = {"regime": "from_scratch", "model": "convnet3", "shared_twins": 0}
ODD = {"optimizer": "adam", "drop_epochs": [], "epochs": 3, "batch_size": 64}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"victims": [{"regime": "end_to_end", "checkpoint": rows.WHITE, "keeps_linear": True}]},
        {"victims": [SCRATCH | {"recipe": RECIPES["fast_from_scratch"].recipe.model_dump()}]},
        {"victims": [SCRATCH | {"recipe": ODD}, {"regime": "frozen", "checkpoint": "sampled"}],
         "surrogates": ["sampled"], "sampled_from": [rows.WHITE, rows.BLACK]},
    ],
)  # fmt: skip
def test_a_form_makes_exactly_the_spec_it_was_filled_from(changes: dict[str, object]) -> None:
    attack = params.FeatureCollision(eps_255=12.5, watermark=0.25)
    spec = rows.spec(attack, trials=7, seed=3, **changes)
    form = LaunchForm(forms.flatten(spec.model_dump(mode="json")), CHECKPOINTS)
    assert form.validate() == spec
    assert form.errors == {}


@pytest.mark.parametrize("name", catalog.REGIMES)
def test_every_knob_of_every_regime_has_an_input(full: TestClient, name: str) -> None:
    text = full.get("/experiments/new", params={"victims.0.regime": name}).text
    knobs = set(catalog.regime(name).params.model_fields) - {"recipe"}
    wanted = {f"victims.0.{knob}" for knob in knobs}
    wanted |= {f"victims.0.recipe.{knob}" for knob in Recipe.model_fields}
    assert wanted <= set(re.findall(r'name="([^"]+)"', text))


def test_switching_the_regime_takes_its_recipe_and_keeps_the_other_victim() -> None:
    values = {name: [typed] for name, typed in GOOD.items()} | {
        "victims.0.regime_shown": ["frozen"],
        "victims.0.regime": ["from_scratch"],
        "victims.0.preset": ["unified_transfer"],
        "victims.0.preset_shown": ["unified_transfer"],
        "victims.0.recipe.epochs": ["7"],
        "victims.1.checkpoint": [rows.BLACK],
        "victims.1.recipe.epochs": ["9"],
    }
    spec = LaunchForm(settle(values), CHECKPOINTS).validate()
    assert spec is not None
    assert [v.regime for v in spec.victims] == ["from_scratch", "frozen"]
    assert spec.victims[0].recipe == victim_params.UNIFIED_FROM_SCRATCH
    assert spec.victims[1].recipe.epochs == 9


def test_a_named_recipe_fills_the_knobs_which_can_then_be_varied(full: TestClient) -> None:
    sent = GOOD | {"victims.0.preset_shown": "unified_transfer", "victims.0.recipe.epochs": "40"}
    sent |= {"victims.0.preset": "poison_frogs"}
    text = full.get("/experiments/new", params=sent).text
    assert 'name="victims.0.recipe.epochs" value="20"' in text
    assert 'name="victims.0.recipe.drop_epochs" value=""' in text
    assert '<option value="poison_frogs" selected>' in text
    varied = sent | {"victims.0.preset_shown": "poison_frogs", "victims.0.recipe.epochs": "5"}
    form = LaunchForm(settle({k: [v] for k, v in varied.items()}), CHECKPOINTS)
    spec = form.validate()
    assert spec is not None
    recipe = RECIPES["poison_frogs"].recipe
    assert spec.victims[0].recipe == recipe.model_copy(update={"epochs": 5})


def test_attacks_stand_in_families_and_each_once(full: TestClient) -> None:
    text = full.get("/experiments/new").text
    select = re.search(r'<select[^>]*id="attack-name".*?</select>', text, re.S)
    assert select
    assert re.findall(r'<option value="(\w+)"', select[0]) == list(catalog.ATTACKS)
    assert '<optgroup label="Bullseye Polytope">' in select[0]


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_only_the_lists_of_a_data_set_are_offered(full: TestClient, name: str) -> None:
    text = full.get("/experiments/new", params={"data.dataset": name}).text
    offered = {listed for listed in BENCHMARK_SETUPS if f'<option value="{listed}"' in text}
    assert offered == {listed for listed, of in BENCHMARK_SETUPS.items() if of == name}


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_the_spec_is_shown_and_taken_away_as_a_file(full: TestClient, kind: str) -> None:
    text = unescape(full.get("/experiments/new", params=GOOD).text)
    answer = full.get("/experiments/new", params=GOOD | {"format": kind})
    assert answer.headers["content-disposition"] == f'attachment; filename="spec.{kind}"'
    assert f"data-copy>{answer.text}</pre>" in text
    raw = spec_file.parse(answer.text, is_yaml=kind == "yaml")
    assert ExperimentSpec.model_validate(raw).model_dump(mode="json") == raw
    assert raw["attack"]["steps"] == 50
    wrong = full.get("/experiments/new", params=GOOD | {"format": kind, "attack.steps": "-1"})
    assert "content-disposition" not in wrong.headers
    assert "attack.steps" in wrong.text and "problem" in wrong.text


def test_a_backdoors_trigger_is_drawn_where_it_lies_as_it_is_pasted(full: TestClient) -> None:
    sent = {"attack.name": "hidden_trigger_backdoor", "attack.patch_size": "6",
            "attack.inset": "5", "seed": "41"}  # fmt: skip
    text = unescape(full.get("/experiments/new", params=sent).text)
    assert "random, 6 × 6 px in the colours of seed 41, on an image of 32 px" in text
    found = re.search(r'<image href="([^"]+)" x="21" y="21" width="6" height="6"/>', text)
    assert found
    answer = full.get(found[1])
    assert answer.headers["content-type"] == "image/png"
    drawn = np.asarray(Image.open(io.BytesIO(answer.content))).transpose(2, 0, 1)
    assert (drawn == patterns.draw("random", 6, 41)).all()
    for wrong in ({"attack.patch_size": "40"}, {"seed": "x"}, {"seed": "-1"}, {"seed": "9" * 99}):
        assert 'class="patch"' not in full.get("/experiments/new", params=sent | wrong).text


@pytest.mark.parametrize(
    "query", ["patch_size=65", "pattern=stripes", "seed=-1", "seed=2147483648", "other=1"]
)
def test_a_trigger_that_cannot_be_is_not_drawn(full: TestClient, query: str) -> None:
    assert full.get(f"/trigger.png?{query}").status_code == 422


@pytest.mark.parametrize(
    ("sent", "field", "says"),
    [
        ({"attack.name": "witches_brew"}, "surrogates", "needs a classifier of Digits 5 to 9"),
        (
            {"victims.0.regime": "end_to_end", "victims.0.keeps_linear": "true"},
            "victims.0.keeps_linear",
            "Digits 0 to 4 apart",
        ),
        (
            {"victims.0.checkpoint": "small-images-64px"},
            "victims.0.checkpoint",
            "trained on images of 64 px",
        ),
        ({"sampled_from": rows.BLACK}, "sampled_from", "is drawn from these"),
        ({"victims.0.regime": "frosen"}, "victims.0.regime", "did you mean frozen"),
        ({"tags": "x" * 41}, "tags", "pattern"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_runs(
    app: FastAPI, full: TestClient, sent: dict[str, str], field: str, says: str
) -> None:
    with app.state.database.write() as session:
        name, data = "small-images-64px", "tinyimagenet_first_half"
        session.add(Checkpoint(name=name, state="ready", model="vgg16_tiny", dataset=data))
    before = count(app)
    answer = full.post("/experiments", data=GOOD | sent)
    assert answer.status_code == 422
    assert says in error_beside(answer.text, field.replace(".", "-"))
    assert count(app) == before
    estimated = full.get("/experiments/new", params=GOOD | sent).text
    assert field == "tags" or says in estimated


def test_notes_and_tags_are_kept_and_cloned(app: FastAPI, full: TestClient) -> None:
    sent = GOOD | {"notes": "why <b>this</b>", "tags": "dose, first look, dose"}
    answer = full.post("/experiments", data=sent, follow_redirects=False)
    number = answer.headers["location"].rpartition("/")[2]
    with app.state.database.read() as session:
        made = session.get_one(Experiment, int(number))
        assert (made.notes, made.tags) == ("why <b>this</b>", ["dose", "first look"])
    text = full.get("/experiments/new", params={"clone": number}).text
    assert "why &lt;b&gt;this&lt;/b&gt;</textarea>" in text
    assert 'name="tags" value="dose, first look"' in text


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("attack.eps_255", "-3", "above 0"),
        ("attack.eps_255", "many", "number"),
        ("attack.steps", "0", "at least 1"),
        ("trials", "0", "at least 1"),
        ("data.poisons", "400", "do not fit"),
        ("data.train_size", "99999", "training images"),
        ("seed", "-1", "at least 0"),
        ("victims.0.recipe.epochs", "0", "at least 1"),
        ("victims.0.checkpoint", "unheard-of", "no checkpoint named"),
        ("data.dataset", "cifar10", "are not in"),
        ("attack.name", "bulseye_polytope", "did you mean bullseye_polytope"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field_and_kept(
    app: FastAPI,
    full: TestClient,
    field: str,
    typed: str,
    says: str,
) -> None:
    before = count(app)
    answer = full.post("/experiments", data=GOOD | {field: typed})
    assert answer.status_code == 422
    assert says in error_beside(answer.text, field.replace(".", "-"))
    assert f'value="{typed}"' in answer.text
    assert 'value="four trials"' in answer.text
    assert count(app) == before


def test_a_base_class_equal_to_the_target_class_is_refused(full: TestClient) -> None:
    same = {"data.target_class": "7", "data.base_class": "7"}
    answer = full.post("/experiments", data=GOOD | same)
    assert answer.status_code == 422
    assert "target class" in error_beside(answer.text, "data-base_class")


def test_an_attack_without_a_surrogate_is_refused(full: TestClient) -> None:
    answer = full.post("/experiments", data=GOOD | {"surrogates": ""})
    assert answer.status_code == 422 and "name at least one" in answer.text


def test_a_title_too_long_is_refused_and_kept(app: FastAPI, full: TestClient) -> None:
    before = count(app)
    answer = full.post("/experiments", data=GOOD | {"title": "x" * 10_000})
    assert answer.status_code == 422 and "x" * 10_000 in answer.text
    assert "200" in error_beside(answer.text, "title")
    assert count(app) == before


def test_a_form_sent_twice_makes_one_experiment(app: FastAPI, full: TestClient) -> None:
    before = count(app)
    answers = [full.post("/experiments", data=GOOD, follow_redirects=False) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert count(app) == before + 1
    page = full.get(answers[0].headers["location"]).text
    assert "four trials" in page and "16/255" in page


def test_a_checkpoint_that_is_only_a_recipe_is_queued_with_the_experiment(
    app: FastAPI, empty: TestClient
) -> None:
    answer = empty.post("/experiments", data=GOOD, follow_redirects=False)
    assert answer.status_code == 303
    assert count(app, Checkpoint) == 1
    assert "waits for" in empty.get(answer.headers["location"]).text


def test_switching_the_attack_keeps_the_budget_and_takes_the_new_defaults(
    full: TestClient,
) -> None:
    sent = GOOD | {"attack.shown": "bullseye_polytope", "attack.name": "feature_collision"}
    text = full.get("/experiments/new", params=sent).text
    assert 'name="attack.eps_255" value="16"' in text
    assert 'name="attack.steps" value="120"' in text
    assert 'name="trials" value="4"' in text


def test_switching_the_data_set_takes_its_counts(full: TestClient) -> None:
    sent = GOOD | {"data.shown": "digits_5_9", "data.dataset": "cifar10"}
    text = full.get("/experiments/new", params=sent).text
    assert 'name="data.train_size" value="2500"' in text
    assert 'name="data.poisons" value="25"' in text
    assert '<option value="airplane">' in text


def test_victims_are_added_and_removed_without_losing_what_was_typed() -> None:
    values = {name: [typed] for name, typed in GOOD.items()} | {
        "victims.0.recipe.epochs": ["7"],
        "victims.0.label": ["first"],
    }
    two = settle(values | {"do": ["add-victim"]})
    assert two["victims.1.recipe.epochs"] == ["7"] and two["victims.1.label"] == [""]
    one = settle(two | {"do": ["remove-victim-0"]})
    assert one["victims.0.label"] == [""] and "victims.1.label" not in one
    assert settle(one | {"do": ["remove-victim-0"]})["victims.0.recipe.epochs"] == ["7"]


def test_an_estimate_is_shown_before_anything_is_launched(app: FastAPI, full: TestClient) -> None:
    before = count(app)
    text = full.get("/experiments/new", params=GOOD | {"do": "estimate"}).text
    assert "about" in text and "Basis" in text and "MiB" in text
    assert "api/v1/experiments" in text
    assert count(app) == before


def test_an_estimate_of_what_cannot_run_says_why(full: TestClient) -> None:
    sent = GOOD | {"do": "estimate", "trials": "0"}
    text = full.get("/experiments/new", params=sent).text
    assert "at least 1" in error_beside(text, "trials")


def test_a_live_estimate_is_a_fragment_with_the_form_untouched(full: TestClient) -> None:
    headers = {"HX-Request": "true", "HX-Target": "bill"}
    text = full.get("/experiments/new", params=GOOD | {"trials": "0"}, headers=headers).text
    assert text.strip().startswith('<div id="bill"')
    assert "at least 1" in text and "<form" not in text


def test_a_passed_on_address_gets_a_key_of_its_own(full: TestClient) -> None:
    text = full.get("/experiments/new", params=GOOD).text
    assert GOOD["idempotency_key"] not in text
    key = re.search(r'name="idempotency_key" value="([0-9a-f]{32})"', text)
    assert key


def test_a_clone_is_filled_with_the_originals_spec(app: FastAPI, full: TestClient) -> None:
    text = full.get("/experiments/new?clone=2").text
    assert 'name="attack.steps" value="200"' in text
    assert re.search(rf'name="surrogates" value="{rows.WHITE}" checked', text)
    assert 'name="victims.1.checkpoint"' in text and 'value="transfer"' in text
    answer = full.post("/experiments", data=GOOD | {"cloned_from": "2"}, follow_redirects=False)
    made = full.get(answer.headers["location"]).text
    assert 'clone of <a href="/experiments/2">' in made


def test_a_preset_fills_the_form(full: TestClient) -> None:
    text = full.get("/experiments/new").text
    address = re.search(r'<option value="(\w+:\w+:\d+)"', text)
    assert address
    filled = full.get("/experiments/new", params={"preset": address[1]})
    assert filled.status_code == 200
    assert f'<option value="{address[1]}" selected>' in filled.text
