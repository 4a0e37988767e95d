"""The scripts a page offers do what the page did."""

import contextlib
import re
import shlex
from html import unescape

import pytest
from fastapi.testclient import TestClient

from poisoning import spec_file


def test_the_curl_line_launches_the_same_spec(full: TestClient) -> None:
    text = unescape(full.get("/experiments/2").text)
    line = re.search(r"(curl --fail-with-body .*?)</pre>", text, re.DOTALL)
    assert line
    words = shlex.split(line[1])
    assert words[2] == "http://127.0.0.1:8000/api/v1/experiments"
    body = words[words.index("-d") + 1]
    headers = {"Content-Type": "application/json"}
    answer = full.post("/api/v1/experiments", content=body, headers=headers)
    assert answer.status_code == 202
    again = full.get(f"/api/v1/experiments/{answer.json()['id']}").json()
    assert again["spec_hash"] == full.get("/api/v1/experiments/2").json()["spec_hash"]


def test_the_python_script_launches_the_same_spec(
    full: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = unescape(full.get("/experiments/2").text)
    script = re.search(r"(import json\nfrom app.client.*?)</pre>", text, re.DOTALL)
    assert script
    launched = []

    class Recorder(contextlib.nullcontext["Recorder"]):
        def __enter__(self) -> "Recorder":
            return self

        def launch(self, spec: dict[str, object], title: str) -> dict[str, object]:
            launched.append((spec, title))
            return {"id": 1}

        def wait(self, number: int) -> dict[str, str]:
            return {"answer": ""}

    monkeypatch.setattr("app.client.Client", Recorder)
    exec(script[1], {})
    [(spec, title)] = launched
    assert spec == full.get("/api/v1/experiments/2").json()["spec"]
    assert "<script>" in title


def test_the_command_line_writes_the_same_spec_as_yaml(full: TestClient) -> None:
    text = unescape(full.get("/experiments/2").text)
    script = re.search(
        r"cat > spec\.yaml <<'YAML'\n(.*?\n)YAML\n(dosimeter [^\n]*)</pre>", text, re.S
    )
    assert script
    shown = full.get("/api/v1/experiments/2").json()
    assert spec_file.parse(script[1], is_yaml=True) == shown["spec"]
    words = shlex.split(script[2])
    assert words[:3] == ["dosimeter", "run", "spec.yaml"]
    assert words[words.index("--title") + 1] == shown["title"]
    assert "python -m poisoning run spec.yaml" in text
