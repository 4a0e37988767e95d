"""A small client for scripts.

    from app.client import Client

    with Client("http://127.0.0.1:8000") as bench:
        launched = bench.launch(
            {
                "attack": {"name": "bullseye_polytope", "eps_255": 32},
                "surrogates": ["convnet3-digits_0_4-s0"],
                "victims": [{"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0"}],
                "data": {"dataset": "digits_5_9", "train_size": 500, "poisons": 5},
            },
            title="Bullseye Polytope on digits",
        )
        print(bench.wait(launched["id"])["answer"])
        for trial in bench.trials(launched["id"]):
            print(trial["number"], trial["outcomes"][0]["success"])

Answers are the JSON objects of the REST API; its OpenAPI page describes them. What the server
refuses is raised as ``Refused``, with the fields that are wrong.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

Json = dict[str, Any]
ENDED = frozenset({"done", "failed", "cancelled"})


class Refused(Exception):
    """The server said no: ``status``, ``title``, ``detail`` and ``errors`` as in RFC 9457."""

    def __init__(self, status: int, problem: Json) -> None:
        self.status = status
        self.title = problem.get("title", "")
        self.detail = problem.get("detail", "")
        self.errors: list[Json] = problem.get("errors", [])
        super().__init__(f"{status} {self.title}: {self.detail}")


class Unreachable(Exception):
    """No server answers at that address."""


class Client:
    """Talks to one server. ``transport`` is for tests."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers=headers,
            timeout=timeout_s,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    # --- experiments --------------------------------------------------------------------------

    def launch(
        self,
        spec: Json,
        title: str = "",
        notes: str = "",
        key: str | None = None,
        stop_width: float | None = None,
    ) -> Json:
        """Launch an experiment. A repeated ``key`` gives the same one; by default it is new.

        With a ``stop_width`` (a fraction) it stops when every interval is at most that wide.
        """
        body = {"spec": spec, "title": title, "notes": notes, "stop_width": stop_width}
        return self._post("/experiments", body, key or str(uuid.uuid4()))

    def estimate(self, spec: Json) -> Json:
        """What ``launch`` would cost."""
        return self._post("/estimates", {"spec": spec})

    def get(self, experiment_id: int) -> Json:
        return self._get(f"/experiments/{experiment_id}")

    def experiments(self, **filters: Any) -> Iterator[Json]:
        """All experiments, the newest first; filters as in the API: state, attack, text, ..."""
        return self._every("/experiments", filters)

    def wait(self, experiment_id: int, timeout_s: float | None = None, poll_s: float = 1.0) -> Json:
        """The experiment once it has ended; TimeoutError where that takes too long."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = self.get(experiment_id)
            if found["state"] in ENDED:
                return found
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"experiment {experiment_id} is still {found['state']}")
            time.sleep(poll_s)

    def cancel(self, experiment_id: int) -> Json:
        return self._post(f"/experiments/{experiment_id}/cancel")

    def retry(self, experiment_id: int) -> Json:
        return self._post(f"/experiments/{experiment_id}/retry")

    def clone(self, experiment_id: int) -> Json:
        return self._post(f"/experiments/{experiment_id}/clone")

    def extend(self, experiment_id: int, trials: int, key: str | None = None) -> Json:
        """Raise an experiment's trials to so many in all; those that are done stay."""
        path = f"/experiments/{experiment_id}/extend"
        return self._post(path, {"trials": trials}, key or str(uuid.uuid4()))

    def trials(self, experiment_id: int) -> Iterator[Json]:
        """All trials of an experiment with their outcomes, by number."""
        return self._every(f"/experiments/{experiment_id}/trials", {})

    def log(self, experiment_id: int, after: int = 0) -> list[Json]:
        """The newest log lines after the one with id ``after``."""
        lines: list[Json] = self._get(f"/experiments/{experiment_id}/log", {"after": after})
        return lines

    def download_poison_set(self, sha256: str, path: str | Path) -> Path:
        """Write a poison set's file (safetensors) to ``path``."""
        return self._download(f"/poison-sets/{sha256}/file", path)

    def download_bundle(
        self, noun: str, number: int, path: str | Path, with_poisons: bool = False
    ) -> Path:
        """Write the bundle of a study or an experiment (``noun``) to ``path``, a zip file."""
        plural = {"study": "studies", "experiment": "experiments"}[noun]
        given = {"with_poisons": with_poisons}
        return self._download(f"/{plural}/{number}/bundle", path, given)

    # --- sweeps -------------------------------------------------------------------------------

    def launch_sweep(
        self,
        spec: Json,
        field: str,
        values: Sequence[float],
        budget: int | None = None,
        title: str = "",
        key: str | None = None,
    ) -> Json:
        """Launch an experiment at several values of one field.

        With a ``budget`` of trials an adaptive one, which goes where the curve asks for it.
        """
        body: Json = {"spec": spec, "field": field, "values": list(values), "title": title}
        if budget is not None:
            body |= {"design": "adaptive", "budget": budget}
        return self._post("/sweeps", body, key or str(uuid.uuid4()))

    def sweep(self, sweep_id: int) -> Json:
        """Points, fitted curve and ED50 of each victim, first of all in words."""
        return self._get(f"/sweeps/{sweep_id}")

    def sweeps(self) -> Iterator[Json]:
        """All sweeps, the newest first."""
        return self._every("/sweeps", {})

    def cancel_sweep(self, sweep_id: int) -> Json:
        return self._post(f"/sweeps/{sweep_id}/cancel")

    def retry_sweep(self, sweep_id: int) -> Json:
        return self._post(f"/sweeps/{sweep_id}/retry")

    # --- the rest -----------------------------------------------------------------------------

    def leaderboards(self, dataset: str | None = None, profile: str | None = None) -> list[Json]:
        """Every board with what is on it, without ranks."""
        filters = {"dataset": dataset, "profile": profile}
        boards: list[Json] = self._get("/leaderboards", filters)
        return boards

    def leaderboard_titles(
        self, dataset: str | None = None, profile: str | None = None
    ) -> list[Json]:
        """What boards there are, the fullest first."""
        filters = {"dataset": dataset, "profile": profile}
        titles: list[Json] = self._get("/leaderboards/titles", filters)
        return titles

    def leaderboard(self, key: str) -> Json:
        """One board, with the ranks of its attacks."""
        board: Json = self._get(f"/leaderboards/{key}")
        return board

    def checkpoints(self) -> Iterator[Json]:
        return self._every("/checkpoints", {})

    def train(self, name: str, spec: Json | None = None) -> Json:
        """Train a checkpoint: a recipe by its name, or a spec of your own under a new name."""
        return self._post("/checkpoints", {"name": name, "spec": spec})

    def import_checkpoint(self, file: str | Path, card: str | Path, name: str = "") -> Json:
        """Bring in what another Dosimeter wrote: a checkpoint's file and its card."""
        with open(card, "rb") as described:
            return self._upload(file, {"name": name}, {"card": described})

    def adopt_checkpoint(
        self,
        file: str | Path,
        name: str,
        model: str,
        dataset: str,
        naming: str = "auto",
        renames: Sequence[str] = (),
    ) -> Json:
        """Bring in weights trained elsewhere; a worker reads and judges them. ``renames`` are
        PATTERN=REPLACEMENT, for the names of tensors.
        """
        asked = {"name": name, "model": model, "dataset": dataset, "naming": naming}
        return self._upload(file, asked | {"renames": list(renames)}, {})

    def checkpoint(self, name: str) -> Json:
        """One checkpoint: its state, and its clean accuracy once it is ready."""
        found: Json = self._get(f"/checkpoints/{name}")
        return found

    def studies(self) -> list[Json]:
        """Studies that can be launched by name."""
        known: list[Json] = self._get("/catalogue/studies")
        return known

    def launch_study(self, name: str, profile: str = "quick", key: str | None = None) -> Json:
        body = {"name": name, "profile": profile}
        return self._post("/studies", body, key or str(uuid.uuid4()))

    def study(self, study_id: int) -> Json:
        return self._get(f"/studies/{study_id}")

    # --- inside -------------------------------------------------------------------------------

    def _get(self, path: str, params: Json | None = None) -> Any:
        given = {k: v for k, v in (params or {}).items() if v is not None}
        return self._send("GET", path, params=given)

    def _post(self, path: str, body: Json | None = None, key: str | None = None) -> Json:
        headers = {"Idempotency-Key": key} if key else {}
        answer: Json = self._send("POST", path, json=body, headers=headers)
        return answer

    def _upload(self, file: str | Path, asked: Json, more: dict[str, BinaryIO]) -> Json:
        with open(file, "rb") as weights:
            parts: dict[str, tuple[str, BinaryIO]] = {"file": (Path(file).name, weights)}
            parts |= {name: (f"{name}.json", part) for name, part in more.items()}
            # a form, which the server takes from its own pages and from what is no browser
            headers = {"Sec-Fetch-Site": "none"}
            answer: Json = self._send(
                "POST", "/checkpoints/import", data=asked, files=parts, headers=headers
            )
        return answer

    def _send(self, method: str, path: str, **rest: Any) -> Any:
        try:
            response = self._http.request(method, path, **rest)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return _check(response).json()

    def _download(self, path: str, target: str | Path, params: Json | None = None) -> Path:
        try:
            with self._http.stream("GET", path, params=params) as response:
                if response.is_error:
                    response.read()
                _check(response)
                with open(target, "wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return Path(target)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        where = self._http.base_url.copy_with(path="/")
        return Unreachable(f"no server answers at {where}: {error}")

    def _every(self, path: str, filters: Json) -> Iterator[Json]:
        cursor = None
        while True:
            page = self._get(path, {**filters, "cursor": cursor, "limit": 200})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return


def _check(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        try:
            problem = response.json()
        except ValueError:
            problem = {"title": response.reason_phrase, "detail": response.text[:500]}
        raise Refused(response.status_code, problem)
    return response
