"""The same launch from a script: curl, Python, the command line."""

import json
import shlex
from collections.abc import Mapping
from typing import Any


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
            f"cat > spec.json <<'JSON'\n{pretty}\nJSON\n"
            f"dosimeter run spec.json --title {shlex.quote(title)} --url {shlex.quote(address)}",
        ),
    ]
