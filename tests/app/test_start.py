"""What starting the server needs, and what it must not."""

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import db
from app.main import create_app
from app.settings import Settings

PROGRAM = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from app import db
from app.main import create_app
from app.settings import Settings

settings = Settings(_env_file=None, home=Path(sys.argv[1]))
db.migrate(settings)
with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
    for path in ("/", "/experiments", "/api/v1/catalogue/attacks", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 200, path
print(sorted({"torch", "torchvision", "sklearn", "worker"} & set(sys.modules)))
"""


def test_the_server_starts_and_answers_without_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_server_refuses_a_database_without_tables(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")
    with pytest.raises(db.WrongSchema, match="dosimeter migrate"), TestClient(create_app(settings)):
        pass


def test_every_setting_is_in_the_example_file() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8")
    missing = [
        name for name in Settings.model_fields if f"DOSIMETER_{name.upper()}=" not in example
    ]
    assert missing == []
