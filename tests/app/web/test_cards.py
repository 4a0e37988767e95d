"""Cards of attacks and data sets: what is on them is what the catalogue and the code say."""

import ast
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import poisoning
from app.schemas import ProvenanceView
from app.web import docstrings, making
from app.web.attacks import family
from poisoning import catalog, certificates, params
from tests.app import rows
from tests.poisoning.test_certificates import MADE, results

ROOT = Path(poisoning.__file__).parent


def test_an_attacks_formula_is_shown_as_its_module_writes_it(full: TestClient) -> None:
    text = full.get("/attacks/bullseye_polytope").text
    tree = ast.parse((ROOT / "attacks" / "bullseye_polytope.py").read_text())
    line = next(x for x in (ast.get_docstring(tree) or "").splitlines() if "min_x" in x)
    assert f">{line.strip()}\n" in text
    assert "Threat model: targeted" in text and "``" not in text


def test_an_attack_without_a_file_has_a_card_all_the_same() -> None:
    assert docstrings.of_module("poisoning.attacks.not_written") == ()


def test_formulas_keep_their_lines_and_text_does_not() -> None:
    found = docstrings.of_module("poisoning.attacks.bullseye_polytope")
    assert sum(paragraph.is_formula for paragraph in found) >= 1
    for paragraph in found:
        assert paragraph.is_formula or "\n" not in paragraph.text


def test_the_forms_of_an_attack_say_what_differs() -> None:
    forms = family(catalog.attack("feature_collision_l2"))
    assert forms[0].attack.name == "feature_collision"
    [l2] = [form for form in forms if form.attack.name == "feature_collision_l2"]
    beta = params.FeatureCollisionL2().beta
    assert "no Budget eps" in l2.differs and f"Beta {beta:g}" in l2.differs
    assert forms[0].differs == ""
    assert family(catalog.attack("witches_brew")) == []


def test_the_index_shows_each_attack_once_under_its_family(full: TestClient) -> None:
    text = full.get("/attacks").text
    places = [text.index(f'href="/attacks/{name}"') for name in catalog.ATTACKS]
    assert places == sorted(places)
    assert f"in {len(catalog.ATTACKS) - 1} published forms" in text


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_every_data_set_has_a_card(full: TestClient, name: str) -> None:
    row = catalog.dataset(name)
    text = full.get(f"/datasets/{name}").text
    assert row.licence in text and f"{row.train_images:,}" in text
    assert text.count('<span class="faint num">') == len(row.classes)
    assert full.get("/datasets/unheard-of").status_code == 404


def test_a_data_set_names_the_checkpoints_trained_on_it(full: TestClient) -> None:
    text = full.get("/datasets/digits_0_4").text
    assert f'href="/checkpoints/{rows.WHITE}"' in text and "not read here yet" in text


def test_an_adversarial_recipe_fills_the_form_and_is_trained(full: TestClient) -> None:
    recipe = "convnet3-digits_5_9-adv-s0"
    text = full.get("/checkpoints", params={"recipe": recipe}).text
    assert 'name="spec.adversarial.eps_255" value="32"' in text
    sent = {"name": "robust", "spec.model": "convnet3", "spec.dataset": "digits_5_9"}
    sent |= {"spec.adversarial.steps": "3"}
    assert full.post("/checkpoints", data=sent | {"adversarial": "true"}).status_code == 200
    assert full.get("/api/v1/checkpoints/robust").json()["spec"]["adversarial"]["steps"] == 3
    assert "yes: 3 PGD steps" in full.get("/checkpoints/robust").text
    plain = sent | {"name": "plain", "adversarial": "false"}
    assert full.post("/checkpoints", data=plain).status_code == 200
    assert full.get("/api/v1/checkpoints/plain").json()["is_adversarial"] is False


def test_a_bad_adversarial_knob_is_refused_beside_its_field(full: TestClient) -> None:
    sent = {"name": "robust", "adversarial": "true", "spec.adversarial.steps": "0"}
    answer = full.post("/checkpoints", data=sent)
    assert answer.status_code == 422 and 'id="spec-adversarial-steps-error"' in answer.text


def test_a_card_says_whether_fast_was_compared_with_exact(
    full: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "bullseye_polytope"
    monkeypatch.setattr(certificates, "of_attack", lambda name: [])
    assert "Nobody compared them yet" in full.get(f"/attacks/{name}").text
    made = certificates.compare(
        results("exact", [True] * 60 + [False] * 40), results("fast", [True] * 59 + [False] * 41)
    )
    monkeypatch.setattr(certificates, "of_attack", lambda name: [made])
    text = full.get(f"/attacks/{name}").text
    assert "processor with AMX" in text and ">60, 59<" in text and "1 trials differ" in text
    assert '<td data-label="Certified">yes</td>' in text


def test_a_trial_made_in_fast_precision_says_whether_that_is_certified() -> None:
    data = MADE | {"dataset": {"name": "digits_5_9", "md5": "x"}}
    kept = ProvenanceView.model_construct(sha256="x", data=data)
    facts = dict(making._making("", kept, "no_perturbation").facts)
    assert facts["Fast beside exact"] == "not compared on processor with AMX: ranks among fast"
    exact = data | {"precision": {"asked": "exact", "computes": "float32"}}
    kept = ProvenanceView.model_construct(sha256="x", data=exact)
    assert "Fast beside exact" not in dict(making._making("", kept, "no_perturbation").facts)
