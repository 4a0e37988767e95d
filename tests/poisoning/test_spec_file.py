"""Specs as files: JSON or YAML, and nothing that is in neither's spirit."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from poisoning import presets, spec_file, spec_yaml
from poisoning.spec import ExperimentSpec, FieldError

SPEC: dict[str, Any] = presets.BASELINES["FC"]().model_dump(mode="json")


@pytest.mark.parametrize("name", ["spec.yaml", "spec.YML", "spec.json", "spec"])
def test_the_same_spec_comes_back_from_either(tmp_path: Path, name: str) -> None:
    is_yaml = name.lower().endswith(("yaml", "yml"))
    (tmp_path / name).write_text(spec_yaml.dump(SPEC) if is_yaml else json.dumps(SPEC))
    assert spec_file.read(tmp_path / name) == SPEC
    assert ExperimentSpec.model_validate(spec_file.read(tmp_path / name)).model_dump(
        mode="json"
    ) == SPEC  # fmt: skip


def test_yaml_says_fields_in_their_order_and_small_numbers_as_numbers() -> None:
    raw = {"b": 1e-05, "a": "1e-05", "no": "no", "day": "2026-01-02", "x": None, "é": "é"}
    text = spec_yaml.dump(raw)
    assert spec_file.parse(text, is_yaml=True) == raw
    assert text.index("b:") < text.index("a:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attack: !!python/object/apply:os.system ['true']", "line 1, column 9"),
        ("attack: &a {x: 1}\nb: *a", "line 2, column 4: references"),
        ("attack: {name: x}\nattack: {name: y}", "line 2, column 1: 'attack' stands here twice"),
        ("1: x", "the name '1' is not text"),
        ("a: {yes: x}", "the name 'yes' is not text"),
        ("- a\n- b", "is not an object in YAML"),
        ("just words", "is not an object"),
        ("", "is not an object"),
        ("a: [1, 2", "line 1"),
        ("a: .nan", "a: is nan"),
        ("a: {b: [1, .inf]}", "a.b.1: is inf"),
        ("a: !!binary aGk=", "a: is neither text nor a number"),
        ("a: !!set {x, y}", "a: is neither text nor a number"),
        ("a: b\n---\na: c", "line 2"),
        ("[" * 100_000, "cannot be read as YAML"),
        ("a: \x00", "cannot be read as YAML"),
    ],
)
def test_what_is_not_a_plain_object_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(FieldError) as refused:
        spec_file.parse(text, is_yaml=True)
    assert said in str(refused.value)


def test_dates_stay_text() -> None:
    assert spec_file.parse("a: 2026-01-02", is_yaml=True) == {"a": "2026-01-02"}


def test_a_huge_a_binary_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    with pytest.raises(FieldError, match="cannot be read"):
        spec_file.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FieldError, match="as text"):
        spec_file.read(path)
    path.write_text("a: " + "x" * spec_file.MOST_BYTES)
    with pytest.raises(FieldError, match="larger than 256 KiB"):
        spec_file.read(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(FieldError, match="JSON"):
        spec_file.read(path.with_suffix(".json"))


def test_without_pyyaml_json_is_read_and_yaml_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("poisoning.spec_yaml")
    monkeypatch.setitem(sys.modules, "poisoning.spec_yaml", None)
    assert spec_file.parse('{"a": 1}', is_yaml=False) == {"a": 1}
    with pytest.raises(FieldError, match="PyYAML"):
        spec_file.parse("a: 1", is_yaml=True)


def test_the_experiments_that_docs_report_differ_in_the_attack_alone() -> None:
    found = {
        path.stem: ExperimentSpec.model_validate(spec_file.read(path))
        for path in (Path(__file__).parents[2] / "docs" / "specs").glob("*.yaml")
    }
    attack, control = found["cifar10-bullseye"], found["cifar10-control"]
    assert (attack.attack.name, control.attack.name) == ("bullseye_polytope", "no_perturbation")
    assert control.model_copy(update={"attack": attack.attack}) == attack
