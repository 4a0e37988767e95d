"""The same launch from a script: curl, Python, the command line."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from app.requests import SweepRequest
from poisoning import spec_yaml


def launching(base_url: str, spec: Mapping[str, Any], title: str) -> list[tuple[str, str]]:
    """(where, text) of each way to launch this spec without a browser."""
    address = base_url.rstrip("/")
    body = json.dumps({"title": title, "spec": spec}, separators=(",", ":"))
    pretty = json.dumps(spec, indent=2)
    return [
        (
            "curl",
            f"curl --fail-with-body {shlex.quote(f'{address}/api/v1/experiments')} \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(body)}",
        ),
        (
            "Python",
            "import json\nfrom app.client import Client\n\n"
            f"spec = json.loads(r'''\n{pretty}\n''')\n"
            f"with Client({address!r}) as bench:\n"
            f"    launched = bench.launch(spec, title={title!r})\n"
            "    print(bench.wait(launched['id'])['answer'])",
        ),
        (
            "Command line",
            f"cat > spec.yaml <<'YAML'\n{spec_yaml.dump(dict(spec))}YAML\n"
            f"dosimeter run spec.yaml --title {shlex.quote(title)} --url {shlex.quote(address)}",
        ),
        (
            "On this machine alone, without a server",
            "python -m poisoning run spec.yaml",
        ),
    ]


def sweeping(base_url: str, request: SweepRequest) -> list[tuple[str, str]]:
    """The same for a sweep."""
    address = base_url.rstrip("/")
    body = request.model_dump(mode="json", exclude_defaults=True) | {
        "spec": request.spec.model_dump(mode="json")
    }
    spec = json.dumps(body["spec"], indent=2)
    values = [f"{value:g}" for value in request.values]
    budget = "" if request.budget is None else f", budget={request.budget}"
    option = "" if request.budget is None else f" --budget {request.budget}"
    posted = json.dumps(body, separators=(",", ":"))
    return [
        (
            "curl",
            f"curl --fail-with-body {shlex.quote(f'{address}/api/v1/sweeps')} \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(posted)}",
        ),
        (
            "Python",
            "import json\nfrom app.client import Client\n\n"
            f"spec = json.loads(r'''\n{spec}\n''')\n"
            f"with Client({address!r}) as bench:\n"
            f"    values = [{', '.join(values)}]\n"
            f"    print(bench.launch_sweep(spec, {request.field!r}, values{budget}))",
        ),
        (
            "Command line",
            f"cat > spec.json <<'JSON'\n{spec}\nJSON\n"
            f"dosimeter sweep run spec.json --field {request.field} --values {','.join(values)}"
            f"{option} --title {shlex.quote(request.title)} --url {shlex.quote(address)}",
        ),
    ]
