"""Bundles: the same bytes for the same results, and nothing is believed that does not follow."""

import csv
import hashlib
import io
import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from poisoning import archive, bundle, consistency, trial
from poisoning.archive import BundleError
from poisoning.bundle import About, CheckpointRow, Ran
from poisoning.results import Results
from tests.poisoning import jobs

ABOUT = About(kind="experiment", title="BP on digits", permalink="http://bench/experiments/7")


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Two trials on untrained networks, run for real."""
    folder = tmp_path_factory.mktemp("ran")
    heard, job = jobs.Heard(), jobs.job(folder, jobs.spec(trials=2))
    trial.run(job, heard)
    cards = [json.loads((folder / f"{name}.json").read_text()) for name in jobs.NAMES]
    rows = [CheckpointRow(name=c["name"], sha256=c["sha256"], card=c) for c in cards]
    made = bundle.of_results(ABOUT, [Ran(7, "done", Results("BP", job.spec, heard.trials()))], rows)
    poisons = {one.poison_set_hash: folder / "work" / one.poison_set for one in heard.trials()}
    for name, sets in (("plain.zip", {}), ("poisons.zip", poisons)):
        with (folder / name).open("wb") as file:
            bundle.write(made, file, sets)
    return folder


@pytest.fixture
def plain(work) -> Path:
    return work / "plain.zip"


def test_the_bundle_is_torch_free():
    code = "import sys, poisoning.bundle, poisoning.consistency, poisoning.cli_bundles; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_was_written_is_read_again(plain):
    received = bundle.read(plain)
    assert received.sha256 == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert consistency.faults(received) == [] == consistency.notes(received.bundle)
    made = received.bundle
    assert made.about == ABOUT and [one.id for one in made.experiments] == [7]
    assert [row.trial for row in made.trials] == [0, 1] and len(made.outcomes) == 6
    kept = made.provenances[made.trials[0].provenance]
    assert kept["spec_hash"] == made.experiments[0].spec_hash
    assert len(made.provenances) == 1, "one machine, one commit: kept once"


def test_the_same_results_make_the_same_bytes(plain, tmp_path):
    for name in ("one.zip", "two.zip"):
        with (tmp_path / name).open("wb") as file:
            bundle.write(bundle.read(plain).bundle, file)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (tmp_path / "one.zip").read_bytes() == plain.read_bytes()
    infos = zipfile.ZipFile(plain).infolist()
    assert len({info.date_time for info in infos}) == 1
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)


def test_nothing_of_this_machine_is_in_it(work):
    for name in ("plain.zip", "poisons.zip"):
        with zipfile.ZipFile(work / name) as opened:
            text = b"".join(opened.read(member) for member in opened.namelist())
        assert str(work).encode() not in text and str(Path.home()).encode() + b"/" not in text


def test_outcomes_are_one_flat_table(plain):
    text = bundle.read(plain).texts["outcomes.csv"].decode()
    first, *others = csv.DictReader(io.StringIO(text))
    assert len(others) == 5 and all(None not in row for row in (first, *others))
    assert first["trial"] == "0" and first["regime"] == "frozen" and first["torch"]
    assert len(first["dataset_md5"]) == 32 and len(first["outcome_hash"]) == 64
    assert first["computes"] == "float32" and float(first["device_seconds"]) > 0


def test_poison_sets_may_go_with_it(work):
    received = bundle.read(work / "poisons.zip")
    (first, *_) = received.bundle.trials
    data = received.poison_set(first.poison_set)
    assert data is not None and hashlib.sha256(data).hexdigest() == first.poison_set
    assert bundle.read(work / "plain.zip").poison_set(first.poison_set) is None


def test_a_changed_poison_set_is_not_exported(work, tmp_path):
    made, wrong = bundle.read(work / "plain.zip").bundle, tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"other")
    with pytest.raises(BundleError, match="was changed"):
        bundle.write(made, io.BytesIO(), {made.trials[0].poison_set: wrong})


# --- bundles that are refused -----------------------------------------------------------------


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rewritten(folder: Path, texts: dict[str, bytes]) -> Path:
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in texts.items():
            made.writestr(name, data)
    return path


def resigned(texts: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that fits: what a careful forger writes."""
    manifest = json.loads(texts["manifest.json"])
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in texts.items()
        if name != "manifest.json"
    }
    return texts | {"manifest.json": json.dumps(manifest).encode()}


def refused(path: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        bundle.read(path)
    return caught.value


@pytest.mark.parametrize("member", ["outcomes.jsonl", "tables/rates.csv", "README.md"])
def test_a_tampered_member_is_named(plain, tmp_path, member):
    texts = members(plain)
    texts[member] = texts[member].replace(b"e", b"E", 1)
    error = refused(rewritten(tmp_path, texts))
    assert error.member == member and "changed" in error.message


def test_a_wrong_hash_in_the_manifest_is_found(plain, tmp_path):
    texts = members(plain)
    manifest = json.loads(texts["manifest.json"])
    manifest["members"]["trials.jsonl"]["sha256"] = "0" * 64
    texts["manifest.json"] = json.dumps(manifest).encode()
    assert refused(rewritten(tmp_path, texts)).member == "trials.jsonl"


def test_extra_and_missing_members_are_named(plain, tmp_path):
    extra = members(plain) | {"tables/more.csv": b"a,b\n"}
    error = refused(rewritten(tmp_path, extra))
    assert (error.member, error.message) == ("tables/more.csv", "is not in the manifest")
    fewer = members(plain)
    del fewer["outcomes.jsonl"]
    error = refused(rewritten(tmp_path, fewer))
    assert (error.member, error.message) == ("outcomes.jsonl", "is missing")
    assert refused(rewritten(tmp_path, resigned(fewer))).member == "outcomes.jsonl"


@pytest.mark.parametrize(
    "name",
    ["../outside.csv", "/etc/passwd", "tables/../../x.csv", "tables\\x.csv", "C:/x", "x.py",
     "tables/", "poisons/00.safetensors", "manifest.json\x00.csv", "tables/\x1b[31m.csv"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(plain, tmp_path, name):
    path = tmp_path / "bundle.zip"
    path.write_bytes(plain.read_bytes())
    stand_in = "".join("_" if ord(letter) < 32 or letter == "\\" else letter for letter in name)
    with zipfile.ZipFile(path, "a") as made:
        made.writestr(zipfile.ZipInfo(stand_in), b"x")
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode()))
    error = refused(path)
    assert "does not belong" in error.message and error.member.isprintable()


def test_a_name_that_stands_there_twice_is_refused(plain, tmp_path):
    path = tmp_path / "bundle.zip"
    path.write_bytes(plain.read_bytes())
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as made:
        made.writestr("outcomes.csv", b"x")
    assert refused(path).message == "stands there twice"


def test_a_link_is_refused(tmp_path):
    path = tmp_path / "bundle.zip"
    info = zipfile.ZipInfo("outcomes.csv")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(info, b"/etc/passwd")
    assert "link" in refused(path).message


def test_a_bomb_is_not_unpacked(plain, tmp_path, monkeypatch):
    bomb = rewritten(tmp_path, members(plain) | {"tables/bomb.csv": b"0" * (8 * 2**20)})
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(archive.Archive, "read", lambda *a: pytest.fail("it was unpacked"))
    assert "grows" in refused(bomb).message


def test_members_and_all_of_them_have_a_largest_size(plain, tmp_path, monkeypatch):
    kind = bundle.KINDS["text"]
    for changed, word in (
        (archive.Kind(kind.pattern, 100, kind.max_total), "larger"),
        (archive.Kind(kind.pattern, kind.max_bytes, 5000), "together"),
    ):
        monkeypatch.setitem(bundle.KINDS, "text", changed)
        assert word in refused(plain).message
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    assert "members" in refused(plain).message


def test_a_lying_size_does_not_help(plain, tmp_path):
    """The head says few bytes, the stream has more: no more than it says is read."""
    texts = members(plain) | {"tables/bomb.csv": b"0" * 4096}
    data = bytearray(rewritten(tmp_path, texts).read_bytes())
    at = data.rindex(b"tables/bomb.csv") - 46  # its head in the directory at the end
    data[at + 24 : at + 28] = (16).to_bytes(4, "little")
    path = tmp_path / "lying.zip"
    path.write_bytes(data)
    assert refused(path).member == "tables/bomb.csv"


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x05\x06" + b"\x00" * 18])
def test_what_is_no_bundle_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    assert refused(path).member in ("bundle.zip", "manifest.json")


def test_another_format_is_refused_by_its_name(plain, tmp_path):
    texts = members(plain)
    texts["manifest.json"] = texts["manifest.json"].replace(b"bundle/1", b"bundle/2")
    error = refused(rewritten(tmp_path, texts))
    assert "'dosimeter-bundle/2'" in error.message and "'dosimeter-bundle/1'" in error.message


@pytest.mark.parametrize("data", [b"[" * 100_000, b"{}", b"\xff", b'[{"id": 1}]'])
def test_a_member_that_cannot_be_read_is_named(plain, tmp_path, data):
    texts = members(plain) | {"experiments.json": data}
    assert refused(rewritten(tmp_path, resigned(texts))).member == "experiments.json"


# --- bundles that contradict themselves -------------------------------------------------------


def forged(plain: Path, folder: Path, member: str, change) -> list[str]:
    """The faults of a bundle with one member changed and a manifest that fits."""
    texts = members(plain)
    if member.endswith(".jsonl"):
        rows = [json.loads(line) for line in texts[member].splitlines()]
        change(rows)
        texts[member] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    elif member.endswith(".json"):
        value = json.loads(texts[member])
        change(value)
        texts[member] = json.dumps(value).encode()
    else:
        texts[member] = change(texts[member])
    return consistency.faults(bundle.read(rewritten(folder, resigned(texts))))


def turned(rows):
    rows[0]["success"] = not rows[0]["success"]


def other_access(rows):
    rows[0]["access"] = "black_box"


def no_longer_a_fraction(rows):
    rows[1]["twin"]["clean_accuracy"] = 1.5


def other_target(rows):
    rows[0]["setup"]["target_index"] += 1


def other_spec(experiments):
    experiments[0]["spec"]["data"]["train_size"] += 10


def other_machine(provenances):
    next(iter(provenances.values()))["hardware"] = "better"


@pytest.mark.parametrize(
    ("member", "change", "said"),
    [
        ("outcomes.jsonl", turned, "its prediction says otherwise"),
        ("outcomes.jsonl", other_access, "by its checkpoints it is a white_box"),
        ("outcomes.jsonl", no_longer_a_fraction, "no fraction"),
        ("outcomes.jsonl", lambda rows: rows[0].update(outcome_hash="0" * 64), "outcome_hash"),
        ("outcomes.jsonl", lambda rows: rows.pop(), "has no outcome"),
        ("outcomes.jsonl", lambda rows: rows.append(rows[0]), "2 times"),
        ("outcomes.jsonl", lambda rows: rows[0].update(provenance="0" * 64), "is missing"),
        ("trials.jsonl", other_target, "craft_hash"),
        ("trials.jsonl", lambda rows: rows[0].update(linf_255=17), "more than 16/255"),
        ("trials.jsonl", lambda rows: rows.pop(), "no such trial"),
        ("trials.jsonl", lambda rows: rows[0].update(experiment=99), "no such experiment"),
        ("experiments.json", other_spec, "spec_hash"),
        ("provenances.json", other_machine, "not what its hash says"),
        ("tables/rates.csv", lambda text: text.replace(b",2,", b",3,", 1), "tables/rates.csv"),
        ("outcomes.csv", lambda text: text[:-20], "outcomes.csv"),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_told(plain, tmp_path, member, change, said):
    faults = forged(plain, tmp_path, member, change)
    assert faults and any(said in fault for fault in faults), faults
