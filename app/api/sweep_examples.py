"""Examples of what the API says of sweeps; a test holds them to the models."""

from app.api.examples import SPEC, SUMMARY

_AT = "2026-03-02T09:30:00Z"
_HALF = {
    "successes": 9, "n": 20, "rate": 0.45, "standard_error": 0.1118, "low": 0.2582, "high": 0.6579,
}  # fmt: skip
_TWIN = {
    "successes": 0, "n": 20, "rate": 0.0, "standard_error": 0.0, "low": 0.0, "high": 0.1611,
}  # fmt: skip
_ANSWER = "Half of the targets fall to 4.72 poisons (95 % interval 3.55 to 6.25)."
_FIELD = {"field": "data.poisons", "values": [1, 2, 4, 8, 16, 32]}

LAUNCH = {"spec": SPEC, **_FIELD, "title": "How many poisons?"}
LAUNCH_ADAPTIVE = {
    "spec": SPEC | {"trials": 10},
    "field": "attack.eps_255",
    "values": [1, 2, 4, 8, 16, 32, 64],
    "design": "adaptive",
    "budget": 120,
    "tags": ["dose"],
}
LAUNCHES = [LAUNCH, LAUNCH_ADAPTIVE]
LAUNCHED = {
    "id": 1, "url": "/api/v1/sweeps/1", "title": "How many poisons?", "created_at": _AT,
}  # fmt: skip
SWEEP = {
    "id": 1,
    "title": "How many poisons?",
    "state": "done",
    **_FIELD,
    "design": "grid",
    "budget": None,
    "attack": "bullseye_polytope",
    "attack_title": "Bullseye Polytope",
    "dataset_title": "Digits 5 to 9",
    "profile": "quick",
    "tags": [],
    "answer": _ANSWER,
    "trials_total": 120,
    "trials_done": 120,
    "experiments": 6,
    "created_at": _AT,
}
DETAIL = SWEEP | {
    "spec": SPEC,
    "notes": "",
    "is_cancelled": False,
    "error": None,
    "victims": [
        {
            "victim": 0,
            "title": "ConvNet-3, frozen",
            "label": None,
            "access": "white_box",
            "answer": _ANSWER,
            "points": [
                {"dose": 4, "value": 4, "success": _HALF, "twin": _TWIN, "experiment_ids": [12]}
            ],
            "floor": 0.0,
            "slope": 1.82,
            "ed50": {"dose": 4.72, "low": 3.55, "high": 6.25, "direction": "within"},
            "curve": [{"dose": 4, "rate": 0.425, "low": 0.302, "high": 0.551}],
        }
    ],
    "rungs": [SUMMARY | {"title": "How many poisons?: 4 poisons"}],
    "beside": [{"id": 2, "title": "How many poisons of 1,000?", "train_size": 1000}],
    "unit": None,
}
