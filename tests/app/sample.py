"""Realistic objects of app/schemas.py, as the queries return them: what the pages are drawn from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app import schemas
from poisoning import catalog, params, stats
from poisoning.spec import DataSpec, ExperimentSpec, PretrainSpec, spec_hash

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WHITE, BLACK = "digits-resnet18-a", "digits-resnet18-b"


def spec(attack: params.Knobs | None = None, **changes: Any) -> ExperimentSpec:
    chosen = attack or params.BullseyePolytope(eps_255=32, steps=200)
    values: dict[str, Any] = {
        "attack": chosen,
        "surrogates": () if isinstance(chosen, params.NoPerturbation) else (WHITE,),
        "victims": (
            params.FrozenVictim(checkpoint=WHITE),
            params.FrozenVictim(checkpoint=BLACK, label="transfer"),
        ),
        "data": DataSpec(dataset="digits_5_9", train_size=500, poisons=5),
    }
    return ExperimentSpec(**(values | changes))


def rate(successes: int, n: int) -> schemas.Rate:
    interval = stats.wilson(successes, n)
    return schemas.Rate(
        successes=successes,
        n=n,
        rate=successes / n,
        standard_error=stats.standard_error(successes, n),
        low=interval.low,
        high=interval.high,
    )


def excess(successes: int, twins: int, n: int) -> schemas.Excess:
    both = min(successes, twins)
    value, interval = stats.paired_excess(
        both, successes - both, twins - both, n - max(successes, twins)
    )
    return schemas.Excess(value=value, low=interval.low, high=interval.high)


def victim(index: int, successes: int | None, twins: int = 0, n: int = 20) -> schemas.VictimSummary:
    known = successes is not None
    return schemas.VictimSummary(
        victim=index,
        title="ResNet-18, width 16, frozen",
        label="transfer" if index else None,
        regime="frozen",
        checkpoint=(WHITE, BLACK)[index],
        model="resnet18_w16",
        access=(("white_box", "black_box")[index] if known else None),
        success=rate(successes, n) if successes is not None else None,
        twin=rate(twins, n) if known else None,
        excess=excess(successes, twins, n) if successes is not None else None,
        clean_accuracy=0.9734 if known else None,
        twin_clean_accuracy=0.9741 if known else None,
    )


def summary(
    number: int = 1,
    state: str = "done",
    attack: str = "bullseye_polytope",
    done: int = 20,
    title: str = "",
) -> schemas.ExperimentSummary:
    row = catalog.attack(attack)
    hits = {"bullseye_polytope": (17, 3), "feature_collision": (6, 2), "no_perturbation": (1, 2)}
    n = max(done, 1)
    white, black = (round(h * n / 20) for h in hits[attack])
    return schemas.ExperimentSummary(
        id=number,
        title=title or f"Demonstration: {row.title}",
        state=state,
        attack=attack,
        attack_title=row.title,
        dataset="digits_5_9",
        dataset_title="Digits 5 to 9",
        profile="smoke",
        precision="exact",
        study_id=1,
        trials_total=20,
        trials_done=done,
        victims=[
            victim(0, white if done else None, 0, n),
            victim(1, black if done else None, 1 if n > 1 else 0, n),
        ],
        created_at=AT,
        started_at=AT + timedelta(seconds=3) if state != "queued" else None,
        finished_at=AT + timedelta(seconds=71) if state == "done" else None,
    )


def job(state: str = "done", progress: dict[str, Any] | None = None) -> schemas.JobView:
    return schemas.JobView(
        id=1,
        kind="trials",
        state=state,
        attempt=1,
        owner="bench:4711:ab12",
        progress=progress,
        provenance={
            "torch": "2.11.0",
            "python": "3.12.4",
            "device": "cpu",
            "threads": 2,
            "commit": "75c0673",
            "dirty": False,
        },
        error=None,
        started_at=AT,
        finished_at=AT + timedelta(seconds=68) if state == "done" else None,
    )


def detail(state: str = "done", done: int = 20, attack: str = "bullseye_polytope") -> Any:
    whole = spec()
    base = summary(12, state, attack, done)
    running = state == "running"
    stages = [
        schemas.Stage(
            name="pretrain", done=12, total=12, unit="epochs", state="done", detail="98.2 % clean"
        ),
        schemas.Stage(
            name="craft",
            done=130 if running else 200,
            total=200,
            unit="steps",
            state="running" if running else "done",
            detail="loss 0.183" if running else "",
            eta_s=14.0 if running else None,
        ),
        schemas.Stage(
            name="victims",
            done=2 * done,
            total=40,
            unit="victims",
            state="waiting" if running and not done else "done" if done == 20 else "running",
        ),
    ]
    answer = (
        "Bullseye Polytope fools 17 of 20 white-box victims; against the black box it cannot be "
        "told from chance."
        if done
        else "Nothing is judged yet: the first 4 of 20 trials are being crafted."
    )
    return schemas.ExperimentDetail(
        **base.model_dump(),
        spec=whole.model_dump(mode="json"),
        spec_hash=spec_hash(whole),
        notes="",
        error=None if state != "failed" else "The batch does not fit into memory.",
        cloned_from=None,
        answer=answer,
        stages=stages,
        jobs=[job(state)],
        seconds=68.4 if state == "done" else 21.0,
    )


def outcome(index: int, success: bool, twin_success: bool = False) -> schemas.OutcomeView:
    return schemas.OutcomeView(
        victim=index,
        title="ResNet-18, width 16, frozen",
        access=("white_box", "black_box")[index],
        success=success,
        prediction=0 if success else 2,
        prediction_name="5" if success else "7",
        confidence=0.934 if success else 0.081,
        margin=3.21 if success else -2.64,
        clean_accuracy=0.9734,
        twin_success=twin_success,
        twin_prediction=0 if twin_success else 2,
        twin_prediction_name="5" if twin_success else "7",
        twin_confidence=0.51 if twin_success else 0.012,
        twin_margin=0.11 if twin_success else -4.87,
        twin_clean_accuracy=0.9741,
        clean_images=446,
        seconds=1.2,
        outcome_hash="9f" * 32,
    )


def trial(number: int = 7, state: str = "done", poison_set: str = "ab" * 32) -> schemas.TrialView:
    done = state == "done"
    return schemas.TrialView(
        id=100 + number,
        experiment_id=12,
        number=number,
        state=state,
        target_class=2 if done else None,
        target_name="7" if done else None,
        target_index=123 + number if done else None,
        base_class=0 if done else None,
        base_name="5" if done else None,
        base_indices=[4, 18, 33, 57, 60] if done else None,
        poison_set=poison_set if done else None,
        craft_hash="cd" * 32 if done else None,
        craft_seconds=2.93 if done else None,
        linf_255=32 if done else None,
        mean_l2=2.412 if done else None,
        ssim=0.9021 if done else None,
        final_loss=0.1731 if done else None,
        outcomes=[outcome(0, number % 6 != 0), outcome(1, number % 7 == 0, number == 14)]
        if done
        else [],
    )


def trials(done: int = 20, total: int = 20) -> list[schemas.TrialView]:
    return [trial(i, "done" if i < done else "queued") for i in range(total)]


def checkpoint(number: int = 1, state: str = "ready") -> schemas.CheckpointView:
    ready = state == "ready"
    whole = PretrainSpec(model="resnet18_w16", dataset="digits_0_4", epochs=12)
    progress = {"stage": "pretrain", "done": 5, "total": 12, "unit": "epochs", "detail": "",
                "values": {"loss": 0.412}}  # fmt: skip
    return schemas.CheckpointView(
        id=number,
        name=(WHITE, BLACK)[number - 1],
        state=state,
        model="resnet18_w16",
        model_title="ResNet-18, width 16",
        dataset="digits_0_4",
        dataset_title="Digits 0 to 4",
        spec=whole.model_dump(mode="json"),
        sha256="0f" * 32 if ready else None,
        clean_accuracy=0.9822 if ready else None,
        clean_images=450 if ready else None,
        card={"seed": 0, "epochs": 12, "torch": "2.11.0"} if ready else None,
        seconds=18.4 if ready else None,
        error=None,
        progress=None if ready else progress,
        created_at=AT,
    )


def cell(successes: int, twins: int, n: int, ids: list[int]) -> schemas.LeaderboardCell:
    return schemas.LeaderboardCell(
        success=rate(successes, n),
        twin=rate(twins, n),
        excess=excess(successes, twins, n),
        clean_accuracy=0.9734,
        twin_clean_accuracy=0.9741,
        experiment_ids=ids,
    )


def leaderboard() -> schemas.Leaderboard:
    rows = []
    counts = {"bullseye_polytope": ((17, 0), (3, 1)), "feature_collision": ((6, 0), (2, 1)),
              "no_perturbation": ((0, 0), (1, 1))}  # fmt: skip
    for number, (name, (white, black)) in enumerate(counts.items(), 1):
        attack = catalog.attack(name)
        control = name == "no_perturbation"
        rows.append(
            schemas.LeaderboardRow(
                attack=name,
                title=attack.title,
                short=attack.short,
                color=attack.color,
                marker=attack.marker,
                budget="none" if control else "eps 32/255",
                knobs={} if control else {"eps_255": 32, "steps": 200},
                linf_255=0 if control else 32,
                cells=[cell(*white, 20, [number]), cell(*black, 20, [number])],
                craft_seconds=0.01 if control else 2.93,
            )
        )
    return schemas.Leaderboard(
        key="digits_5_9-smoke-exact",
        title="Digits 5 to 9, transfer",
        dataset="digits_5_9",
        profile="smoke",
        precision="exact",
        protocol="5 poisons among 500 training images; setups drawn from seed 0; normalised.",
        answer="Bullseye Polytope fools 17 of 20 white-box victims; no attack here can be told "
        "from chance against the black box.",
        columns=[
            schemas.LeaderboardColumn(
                key=access,
                title=title,
                subtitle="ResNet-18, width 16, frozen",
                access=access,
                regime="frozen",
            )
            for access, title in (("white_box", "White box"), ("black_box", "Black box"))
        ],
        rows=rows,
    )


def study() -> schemas.StudyView:
    return schemas.StudyView(
        id=1,
        name="demonstration",
        title="Demonstration on digits",
        profile="smoke",
        state="running",
        experiments=[
            summary(1, "done", "no_perturbation"),
            summary(2, "running", "feature_collision", 8),
            summary(3, "queued", "bullseye_polytope", 0),
        ],
        created_at=AT,
    )


def estimate() -> schemas.Estimate:
    return schemas.Estimate(
        seconds=94.0,
        craft_seconds=58.0,
        victim_seconds=16.0,
        pretrain_seconds=20.0,
        basis="measured on 40 trials here",
        batches=5,
        memory_mib=610,
    )
