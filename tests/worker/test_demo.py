"""What the demonstration reads over REST is what the science counted."""

from typing import Any, cast

from app import demo
from app.client import Client
from app.schemas import OutcomeView, TrialView
from poisoning.events import Judged, OutcomeResult, Setup, TrialDone
from tests.worker.bench import SPEC

POISONED = Judged(prediction=1, confidence=0.8, margin=2.0, clean_accuracy=0.95)
TWIN = Judged(prediction=0, confidence=0.2, margin=-1.0, clean_accuracy=0.96)
DONE = TrialDone(
    index=3,
    setup=Setup(target_class=0, target_index=7, base_class=1, base_indices=(4, 5)),
    poison_set="a" * 64,
    poison_set_hash="a" * 64,
    craft_hash="b" * 64,
    craft_seconds=1.5,
    linf_255=8,
    mean_l2=0.4,
    ssim=0.9,
    final_loss=None,
    outcomes=(
        OutcomeResult(
            victim=0,
            access="white_box",
            success=True,
            poisoned=POISONED,
            twin=TWIN,
            twin_success=False,
            clean_images=100,
            seconds=2.0,
            outcome_hash="c" * 64,
        ),
    ),
)


def view() -> dict[str, Any]:
    """The trial as the API shows it."""
    outcome = DONE.outcomes[0].model_dump(exclude={"poisoned", "twin"})
    outcome |= POISONED.model_dump() | {f"twin_{k}": v for k, v in TWIN.model_dump().items()}
    shown = OutcomeView.model_validate(
        outcome
        | {"title": "ConvNet", "prediction_name": "6", "twin_prediction_name": "5"}
        | {"provenance": "d" * 64}
    )
    same = DONE.model_dump(include=set(TrialView.model_fields) - {"outcomes"})
    return TrialView.model_validate(
        same
        | DONE.setup.model_dump()
        | {"id": 1, "experiment_id": 1, "number": 3, "state": "done"}
        | {"target_name": "5", "base_name": "6", "outcomes": [shown]}
    ).model_dump(mode="json")


class FakeClient:
    def get(self, experiment_id: int) -> dict[str, Any]:
        return {"spec": SPEC.model_dump(mode="json")}

    def trials(self, experiment_id: int) -> list[dict[str, Any]]:
        return [view()]


def test_trials_come_back_as_they_were() -> None:
    found = demo.results_of(cast(Client, FakeClient()), {"id": 1, "title": "x"})
    assert found.trials == [DONE]
    assert found.spec == SPEC


def test_seconds_count_to_the_last_outcome() -> None:
    study = {
        "created_at": "2026-03-01T10:00:00Z",
        "experiments": [
            {"finished_at": "2026-03-01T10:00:30Z"},
            {"finished_at": "2026-03-01T10:01:10.5Z"},
            {"finished_at": None},
        ],
    }
    assert demo.seconds(study) == 70.5
