"""A worker made of function calls: claims jobs and reports results, with no science behind it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.db import Database
from app.requests import LaunchRequest
from app.services import experiments, jobs, results
from app.services.jobs import Claim, Lease
from app.settings import Settings
from app.storage import Store, Stored
from poisoning.events import CheckpointDone, Judged, OutcomeResult, Setup, TrialDone
from poisoning.spec import ExperimentSpec, digest

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WHITE, BLACK = "convnet3-digits_0_4-s0", "resnet6_w16-digits_0_4-s0"
LEASE_S = 60.0


def raw_spec(**changes: Any) -> dict[str, Any]:
    """A spec on digits, as JSON; ``changes`` replace whole top-level fields."""
    return {
        "attack": {"name": "bullseye_polytope", "eps_255": 32, "steps": 200},
        "surrogates": [WHITE],
        "victims": [
            {"regime": "frozen", "checkpoint": WHITE},
            {"regime": "frozen", "checkpoint": BLACK},
        ],
        "data": {"dataset": "digits_5_9", "train_size": 500, "poisons": 5},
        "trials": 4,
    } | changes


def spec(**changes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(raw_spec(**changes))


def launch(
    database: Database, settings: Settings, stop_width: float | None = None, **changes: Any
) -> int:
    """Launch an experiment; its id."""
    request = LaunchRequest(spec=spec(**changes), stop_width=stop_width)
    with database.write() as session:
        return experiments.launch(session, settings, request, AT).id


def claim(database: Database, owner: str = "w1") -> Claim | None:
    with database.write() as session:
        return jobs.claim(session, owner, AT, LEASE_S)


def must_claim(database: Database, owner: str = "w1") -> Claim:
    found = claim(database, owner)
    assert found is not None, "there is nothing to claim"
    return found


def checkpoint_done(name: str, accuracy: float = 0.98) -> CheckpointDone:
    return CheckpointDone(
        name=name,
        path="checkpoint.safetensors",
        sha256=digest(name),
        clean_accuracy=accuracy,
        card={"name": name, "test_images": 450},
        seconds=4.4,
    )


def trial_done(
    claimed: Claim, index: int, success: bool = True, twin: bool = False, seed: str = ""
) -> TrialDone:
    """A finished trial; its hashes follow from the spec, so that re-runs give the same."""
    assert isinstance(claimed.spec, ExperimentSpec)
    victims = claimed.spec.victims
    identity = claimed.spec.model_dump(mode="json", exclude={"trials", "profile"})
    craft_hash = digest([identity, index, seed])
    judged = {"clean_accuracy": 0.97}
    return TrialDone(
        index=index,
        setup=Setup(target_class=2, target_index=9, base_class=0, base_indices=(1, 2, 3, 4, 5)),
        poison_set="poisons.safetensors",
        poison_set_hash=digest([craft_hash, "set"]),
        craft_hash=craft_hash,
        craft_seconds=2.0,
        linf_255=32,
        mean_l2=2.4,
        ssim=0.9,
        final_loss=0.2,
        outcomes=tuple(
            OutcomeResult(
                victim=position,
                access="white_box" if victim.checkpoint in claimed.spec.surrogates else "black_box",
                success=success,
                poisoned=Judged(
                    prediction=0 if success else 2, confidence=0.9, margin=1.0, **judged
                ),
                twin=Judged(prediction=0 if twin else 2, confidence=0.1, margin=-1.0, **judged),
                twin_success=twin,
                clean_images=446,
                seconds=1.0,
                outcome_hash=digest([craft_hash, position]),
            )
            for position, victim in enumerate(victims)
        ),
    )


def record(database: Database, lease: Lease, done: TrialDone) -> bool:
    stored = Stored(done.poison_set_hash, 1234)
    with database.write() as session:
        return results.record_trial(session, lease, done, stored, 5, AT)


def finish(database: Database, lease: Lease) -> str:
    with database.write() as session:
        return jobs.finish(session, lease, AT)


def pretrain(database: Database, claimed: Claim) -> None:
    """Carry a claimed pretraining to its end."""
    done = checkpoint_done(claimed.name)
    with database.write() as session:
        results.record_checkpoint(session, claimed.lease, done, Stored(done.sha256, 99), AT)
    assert finish(database, claimed.lease) == "done"


def work_off(database: Database, successes: int = 3, twins: int = 0, seed: str = "") -> int:
    """Run everything that is queued; the first ``successes`` trials succeed. Jobs run."""
    count = 0
    while (claimed := claim(database)) is not None:
        count += 1
        if claimed.kind == "pretrain":
            pretrain(database, claimed)
            continue
        for index in claimed.indices:
            done = trial_done(claimed, index, index < successes, index < twins, seed)
            record(database, claimed.lease, done)
        assert finish(database, claimed.lease) == "done"
    return count


def store_file(store: Store, folder: Path, content: bytes) -> Stored:
    path = folder / "incoming"
    path.write_bytes(content)
    return store.put("poison_sets", path)
