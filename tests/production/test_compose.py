"""docker-compose.yml and Dockerfile, checked without a Docker engine."""

import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from app.cli import cli
from app.settings import Settings

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rule>:\?[^}]+|:-[^}]*)?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(TEXT)
    return parsed


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def schema() -> dict[str, Any]:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    loaded: dict[str, Any] = json.loads(vendored.read_text())
    return loaded


def test_it_obeys_the_compose_schema(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema()).validate(compose)


def test_the_schema_would_notice_a_mistake(compose: dict[str, Any]) -> None:
    wrong = json.loads(json.dumps(compose))
    wrong["services"]["server"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(wrong)


def test_docker_compose_itself_reads_it() -> None:
    docker = shutil.which("docker")
    has_compose = (
        docker
        and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    )
    if not has_compose:
        pytest.skip("docker compose is not installed here; the schema was checked above")
    asked = [str(docker), "compose", "--file", str(REPOSITORY / "docker-compose.yml"), "config"]
    environment = {"POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b", "PATH": "/usr/bin:/bin"}
    subprocess.run([*asked, "--quiet"], check=True, env=environment)
    assert subprocess.run([*asked, "--quiet"], env={"PATH": "/usr/bin:/bin"}).returncode != 0


def test_every_part_is_there_and_looks_after_itself(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "redis", "migrate", "server", "worker"}
    for name, service in services.items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        assert "no-new-privileges:true" in service["security_opt"]
        assert "healthcheck" in service or name == "migrate"
    for name in ("migrate", "server", "worker"):
        assert services[name]["read_only"] and services[name]["user"] == "10001:10001"
        assert services[name]["cap_drop"] == ["ALL"]


def test_what_depends_on_what_waits_until_it_is_ready(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("server", "worker"):
        assert services[name]["depends_on"] == {
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }


def test_no_secret_has_a_default() -> None:
    """A variable is either required, with a message, or harmless to leave out."""
    for variable in VARIABLE.finditer(TEXT):
        is_secret = "PASSWORD" in variable["name"]
        assert (variable["rule"] or "").startswith(":?" if is_secret else ":-"), variable[0]
    assert {v["name"] for v in VARIABLE.finditer(TEXT) if "PASSWORD" in v["name"]} == {
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
    }


def test_only_the_server_is_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: s["ports"] for name, s in services.items() if "ports" in s}
    assert list(published) == ["server"]
    assert all(port.startswith("127.0.0.1:") for port in published["server"])


def test_databases_keep_what_they_are_told(compose: dict[str, Any]) -> None:
    services = compose["services"]
    redis = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in redis and "--maxmemory-policy noeviction" in redis
    mounted = {
        volume.split(":")[0] for service in services.values() for volume in service["volumes"]
    }
    assert mounted == set(compose["volumes"])


def test_every_command_exists(services: dict[str, Any]) -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    for name in ("migrate", "server", "worker"):
        program, subcommand = services[name]["command"]
        assert program == "dosimeter" and subcommand in commands
    assert (Path(sys.executable).parent / "dosimeter").exists()
    _, python, flag, module = services["worker"]["healthcheck"]["test"]
    assert (python, flag) == ("python", "-m") and find_spec(module)


def test_every_setting_is_known(services: dict[str, Any]) -> None:
    for service in services.values():
        for name in service.get("environment", {}):
            if name.startswith("DOSIMETER_"):
                assert name.removeprefix("DOSIMETER_").lower() in Settings.model_fields, name


def test_image_installs_from_the_lock_and_runs_as_nobody_special() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in lines
    assert re.findall(r"^USER (.+)$", lines, re.M) == ["10001:10001"]
    assert "10001" in TEXT
    for setting in re.findall(r"(DOSIMETER_\w+)=", lines):
        assert setting.removeprefix("DOSIMETER_").lower() in Settings.model_fields
