"""Every setting of server, worker and command line: ``DOSIMETER_<NAME>`` or a line in ``.env``."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import machine

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(BaseSettings):
    """Defaults make one machine work with nothing else installed; two URLs make it production."""

    model_config = SettingsConfigDict(env_prefix="DOSIMETER_", env_file=".env", extra="ignore")

    home: Path = Field(Path("data"), description="Database, artefacts, work and logs; mode 0700.")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL; empty: SQLite under the home folder."
    )
    broker_url: str | None = Field(
        None, description="Celery broker, e.g. redis://...; empty: files under the home folder."
    )
    data_dir: Path | None = Field(
        None, description="Where data sets are unpacked; empty: <home>/datasets."
    )
    host: str = Field("127.0.0.1", description="Address to bind; any but loopback needs tokens.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Further Host names to answer to (JSON list), e.g. behind a proxy."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:0 or mps.")
    threads: PositiveInt | None = Field(
        None, description="Torch threads of a worker; empty: all cores, shared by the workers."
    )
    memory_mib: PositiveInt | None = Field(
        None, description="Memory of all jobs at once; empty: what this machine has available."
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        None,
        validate_default=True,
        description="How many jobs this machine runs at once; with GPUs, one for each. Empty: two "
        "without a broker and a GPU, with two cores and 4 GiB; else one.",
    )
    lease_s: PositiveFloat = Field(
        60, description="A silent worker's job is taken back after this."
    )
    heartbeat_s: PositiveFloat = Field(
        2, description="How often a worker reports and learns of a cancellation."
    )
    poll_s: PositiveFloat = Field(1, description="How often an idle worker looks for work.")
    batch_seconds: PositiveFloat = Field(
        300, description="About how long one batch of trials should take."
    )
    max_body_mib: PositiveInt = Field(64, description="Largest request body.")
    demonstration: bool = Field(
        True, description="Launch the demonstration study on an empty embedded database."
    )
    secure_cookies: bool = Field(False, description="Set the login cookie for https only.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least urgent lines a worker logs."
    )

    @field_validator(
        "database_url",
        "broker_url",
        "data_dir",
        "threads",
        "memory_mib",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """``DOSIMETER_BROKER_URL=`` in a file means: none."""
        return None if value == "" else value

    @field_validator("workers", mode="before")
    @classmethod
    def _of_this_machine(cls, value: object, info: ValidationInfo) -> object:
        """Empty: as many as this machine carries. Whoever has a broker counts workers himself."""
        if value not in (None, ""):
            return value
        known = info.data
        if known.get("broker_url") is not None:
            return 1
        return machine.jobs_at_once(
            known.get("device", "auto"), known.get("threads"), known.get("memory_mib")
        )

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def is_embedded(self) -> bool:
        """No broker given: server and worker share this machine's home folder."""
        return self.broker_url is None

    def of_worker(self, number: int) -> Self:
        """What worker ``number`` of this machine runs with: its share of the cores, a GPU of its
        own where there are several.
        """
        if self.workers == 1:
            return self
        share: dict[str, object] = {"threads": self.threads_each}
        gpus = machine.nvidia_gpus()
        if gpus > 1 and self.device in ("auto", "cuda"):
            share["device"] = f"cuda:{number % gpus}"
        return self.model_copy(update=share)

    @property
    def threads_each(self) -> int:
        """Torch threads of one worker."""
        return self.threads or max(1, machine.cores() // self.workers)

    @cached_property
    def root(self) -> Path:
        """The home folder, absolute, created with mode 0700."""
        path = self.home.expanduser().resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(path, 0o700)
        return path

    def folder(self, name: str) -> Path:
        """A sub-folder of the home folder, created on first use."""
        path = self.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def artifacts_dir(self) -> Path:
        return self.folder("artifacts")

    @property
    def work_dir(self) -> Path:
        return self.folder("work")

    @property
    def broker_dir(self) -> Path:
        return self.folder("broker")

    @property
    def logs_dir(self) -> Path:
        return self.folder("logs")

    @property
    def datasets_dir(self) -> Path:
        """Where data sets are looked for; the default is created, a given one is not."""
        if self.data_dir is None:
            return self.folder("datasets")
        return self.data_dir.expanduser().resolve()

    @property
    def sql_url(self) -> str:
        return self.database_url or f"sqlite:///{self.root / 'dosimeter.db'}"


def load() -> Settings:
    """The settings of this process, from the environment and ``.env``."""
    return Settings()
