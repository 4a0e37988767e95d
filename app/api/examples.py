"""One example of everything the API says, for its OpenAPI page; a test holds them to the models."""

from typing import Any

_AT = "2026-03-02T09:30:00Z"
_SHA = "3f" * 32
_RATE = {
    "successes": 17, "n": 20, "rate": 0.85, "standard_error": 0.1118, "low": 0.6396, "high": 0.9476,
}  # fmt: skip
_TWIN = {
    "successes": 1, "n": 20, "rate": 0.05, "standard_error": 0.1118, "low": 0.0089, "high": 0.2361,
}  # fmt: skip
_EXCESS = {"value": 0.8, "low": 0.5438, "high": 0.9143}
_CHECKPOINT = "convnet3-digits_0_4-s0"

SPEC: dict[str, Any] = {
    "attack": {"name": "bullseye_polytope", "eps_255": 32, "steps": 200},
    "surrogates": [_CHECKPOINT],
    "victims": [{"regime": "frozen", "checkpoint": _CHECKPOINT}],
    "data": {"dataset": "digits_5_9", "train_size": 500, "poisons": 5},
    "trials": 20,
    "seed": 0,
    "profile": "quick",
}
LAUNCH = {"spec": SPEC, "title": "Bullseye Polytope on digits", "notes": "first try"}
_DIGITS = {"dataset": "digits_5_9", "train_size": 500, "poisons": 5}
LAUNCH_BACKDOOR = {
    "spec": {
        "attack": {"name": "clean_label_backdoor", "eps_255": 32, "patch_size": 5},
        "surrogates": ["convnet3-digits_5_9-adv-s0"],
        "victims": [{"regime": "frozen", "checkpoint": _CHECKPOINT}],
        "data": _DIGITS,
        "trials": 20,
    },
    "title": "A backdoor on digits",
    "tags": ["backdoor", "first look"],
}
LAUNCH_END_TO_END = {
    "spec": {
        "attack": {"name": "convex_polytope_end_to_end", "eps_255": 32, "steps": 200},
        "surrogates": [_CHECKPOINT],
        "victims": [
            {
                "regime": "end_to_end",
                "checkpoint": _CHECKPOINT,
                "recipe": {"learning_rate": 0.05, "schedule": "one_cycle", "epochs": 2},
            }
        ],
        "data": _DIGITS,
        "trials": 10,
    },
    "title": "Fine-tuned whole",
}
LAUNCH_FROM_SCRATCH = {
    "spec": {
        "attack": {"name": "badnets", "patch_size": 3, "pattern": "checkerboard"},
        "victims": [
            {
                "regime": "from_scratch",
                "model": "convnet3",
                "recipe": {"learning_rate": 0.1, "schedule": "one_cycle", "epochs": 16},
                "shared_twins": 4,
            }
        ],
        "data": _DIGITS,
        "trials": 10,
    },
    "title": "Trained from nothing",
}
LAUNCHES = [LAUNCH, LAUNCH_BACKDOOR, LAUNCH_END_TO_END, LAUNCH_FROM_SCRATCH]
LAUNCHED = {
    "id": 12,
    "url": "/api/v1/experiments/12",
    "title": "Bullseye Polytope on digits",
    "created_at": _AT,
}
VICTIM = {
    "victim": 0,
    "title": "ConvNet-3, frozen",
    "label": None,
    "regime": "frozen",
    "checkpoint": _CHECKPOINT,
    "model": "convnet3",
    "access": "white_box",
    "success": _RATE,
    "twin": _TWIN,
    "excess": _EXCESS,
    "clean_accuracy": 0.973,
    "twin_clean_accuracy": 0.974,
}
SUMMARY = {
    "id": 12,
    "title": "Bullseye Polytope on digits",
    "state": "done",
    "attack": "bullseye_polytope",
    "attack_title": "Bullseye Polytope",
    "dataset": "digits_5_9",
    "dataset_title": "Digits 5 to 9",
    "profile": "quick",
    "precision": "exact",
    "study_id": None,
    "trials_total": 20,
    "trials_done": 20,
    "victims": [VICTIM],
    "created_at": _AT,
    "started_at": _AT,
    "finished_at": _AT,
}
JOB = {
    "id": 31,
    "kind": "trials",
    "state": "done",
    "attempt": 1,
    "owner": None,
    "progress": None,
    "provenance": {"torch": "2.11.0", "device": "cpu", "threads": 2},
    "error": None,
    "started_at": _AT,
    "finished_at": _AT,
}
DETAIL = SUMMARY | {
    "spec": SPEC,
    "spec_hash": _SHA,
    "notes": "first try",
    "error": None,
    "cloned_from": None,
    "answer": "Bullseye Polytope fools 17 of 20 white-box victims (85.0 % ± 11.2); their clean "
    "twins, 1 of 20.",
    "stages": [
        {"name": "craft", "done": 20, "total": 20, "unit": "trials", "state": "done"},
        {"name": "victims", "done": 20, "total": 20, "unit": "victims", "state": "done"},
    ],
    "jobs": [JOB],
    "seconds": 68.4,
    "extras": [
        {
            "victim": 0,
            "trials": 20,
            "survives": {
                "flip": {
                    "successes": 14,
                    "n": 17,
                    "rate": 0.8235,
                    "standard_error": 0.1213,
                    "low": 0.5897,
                    "high": 0.9381,
                }
            },
        }
    ],
}
OUTCOME = {
    "victim": 0,
    "title": "ConvNet-3, frozen",
    "access": "white_box",
    "success": True,
    "prediction": 0,
    "prediction_name": "5",
    "confidence": 0.934,
    "margin": 3.21,
    "clean_accuracy": 0.973,
    "twin_success": False,
    "twin_prediction": 2,
    "twin_prediction_name": "7",
    "twin_confidence": 0.012,
    "twin_margin": -4.87,
    "twin_clean_accuracy": 0.974,
    "clean_images": 446,
    "seconds": 1.2,
    "device_seconds": 2.1,
    "outcome_hash": _SHA,
    "provenance": _SHA,
    "extras": {"variants": {"flip": 0}, "twin_variants": {"flip": 2}},
}
TRIAL = {
    "id": 107,
    "experiment_id": 12,
    "number": 7,
    "state": "done",
    "target_class": 2,
    "target_name": "7",
    "target_index": 123,
    "base_class": 0,
    "base_name": "5",
    "base_indices": [4, 18, 33, 57, 60],
    "poison_set": _SHA,
    "craft_hash": _SHA,
    "craft_seconds": 2.93,
    "craft_device_seconds": 5.74,
    "provenance": _SHA,
    "linf_255": 32,
    "mean_l2": 2.412,
    "ssim": 0.902,
    "final_loss": 0.173,
    "outcomes": [OUTCOME],
}
PROVENANCE = {
    "sha256": _SHA,
    "data": {
        "program": {"version": "0.1.0", "commit": "5c" * 20, "is_dirty": False},
        "hardware": "NVIDIA H200",
        "device": "cuda",
        "versions": {"python": "3.12.4", "torch": "2.11.0", "numpy": "2.2.1"},
        "precision": {"asked": "exact", "computes": "float32"},
        "spec_hash": _SHA,
        "seed": 0,
        "dataset": {"name": "digits_5_9", "md5": "7d" * 16},
        "checkpoints": {_CHECKPOINT: _SHA},
    },
}
OUTCOMES_CSV = (
    "experiment,title,attack,trial,victim,success,twin_success,provenance,commit,torch\n"
    f"12,Bullseye Polytope on digits,bullseye_polytope,7,0,1,0,{_SHA},{'5c' * 20},2.11.0\n"
)
POISON_SET = {
    "sha256": _SHA,
    "images": 5,
    "size_bytes": 33_512,
    "trial_ids": [107],
    "created_at": _AT,
}
CHECKPOINT = {
    "id": 1,
    "name": _CHECKPOINT,
    "state": "ready",
    "model": "convnet3",
    "model_title": "ConvNet-3",
    "dataset": "digits_0_4",
    "dataset_title": "Digits 0 to 4",
    "spec": {"model": "convnet3", "dataset": "digits_0_4", "epochs": 15},
    "sha256": _SHA,
    "clean_accuracy": 0.982,
    "clean_images": 450,
    "card": {"name": _CHECKPOINT},
    "seconds": 4.4,
    "error": None,
    "progress": None,
    "created_at": _AT,
}
BOARD: dict[str, Any] = {
    "key": "5b0c1f0e7a2d4c91",
    "title": "CIFAR-10, frozen",
    "dataset": "cifar10",
    "profile": "paper",
    "precision": "exact",
    "protocol": "25 poisons among 2,500 training images; setups from "
    "cifar10_transfer_learning; normalised",
    "answer": "Bullseye Polytope fools 17 of 20 white-box victims (85.0 % ± 11.2); their clean "
    "twins, 1 of 20.",
    "columns": [
        {
            "key": "white_box-0a1b2c3d4e5f",
            "title": "White box",
            "subtitle": "ResNet-18, frozen",
            "access": "white_box",
            "regime": "frozen",
        }
    ],
    "rows": [
        {
            "key": "8d1f0a6be2c94753",
            "attack": "bullseye_polytope",
            "title": "Bullseye Polytope",
            "short": "BP",
            "color": "#0072B2",
            "marker": "diamond",
            "budget": "eps 8/255",
            "is_ranked": True,
            "knobs": {"eps_255": 8, "steps": 4000},
            "linf_255": 8,
            "cells": [
                {
                    "success": _RATE,
                    "twin": _TWIN,
                    "excess": _EXCESS,
                    "clean_accuracy": 0.973,
                    "twin_clean_accuracy": 0.974,
                    "experiment_ids": [12],
                    "rank": 1,
                    "published": {
                        "percent": 85.0,
                        "n": 100,
                        "label": "published",
                        "source": "the unified benchmark's own table, version of 2021-09: "
                        "CIFAR-10, transfer",
                    },
                }
            ],
            "craft_seconds": 2.93,
            "mean_l2": 2.4,
            "ssim": 0.9,
        }
    ],
    "pairs": [
        {
            "column": "white_box-0a1b2c3d4e5f",
            "first": "8d1f0a6be2c94753",
            "second": "2f6c1d0b9a8e7354",
            "shared": 20,
            "only_first": 12,
            "only_second": 1,
            "p": 0.0034,
            "adjusted": 0.0034,
            "better": "8d1f0a6be2c94753",
        }
    ],
}
UNRANKED_BOARD = BOARD | {
    "rows": [
        row | {"cells": [cell | {"rank": None} for cell in row["cells"]]} for row in BOARD["rows"]
    ],
    "pairs": None,
}
BOARD_TITLE = {
    "key": "5b0c1f0e7a2d4c91",
    "dataset": "cifar10",
    "dataset_title": "CIFAR-10",
    "regime": "frozen",
    "profile": "paper",
    "precision": "exact",
    "protocol": "25 poisons among 2,500 training images; setups from "
    "cifar10_transfer_learning; normalised",
    "setups": "cifar10_transfer_learning",
    "counts": "25 / 2,500",
    "accesses": ["white_box"],
    "outcomes": 40,
}
STUDY = {
    "id": 1,
    "name": "demonstration",
    "title": "Demonstration on digits",
    "profile": "quick",
    "state": "done",
    "experiments": [SUMMARY],
    "created_at": _AT,
}
STUDY_LAUNCHED = {
    "id": 1,
    "url": "/api/v1/studies/1",
    "title": "Demonstration on digits",
    "created_at": _AT,
}
CHECKPOINT_LAUNCHED = {
    "id": 1,
    "url": f"/api/v1/checkpoints/{_CHECKPOINT}",
    "title": _CHECKPOINT,
    "created_at": _AT,
}
WORKER = {
    "id": "bench:4711:ab12",
    "host": "bench",
    "device": "cpu",
    "started_at": _AT,
    "seen_at": _AT,
    "is_alive": True,
    "job_id": 31,
}
QUEUE = {"queued": 2, "running": 1, "oldest_queued_s": 3.5}
LOG = {"id": 1, "at": _AT, "level": "info", "message": "20 trials, 200 steps each"}
ESTIMATE = {
    "seconds": 80.0,
    "craft_seconds": 54.9,
    "victim_seconds": 10.1,
    "pretrain_seconds": 15.0,
    "basis": "measured here: 40 crafted trials, 40 frozen extractor victims",
    "batches": 1,
    "memory_mib": 637.0,
}
ENTRY = {
    "name": "bullseye_polytope",
    "title": "Bullseye Polytope",
    "about": {"paper": "Aghakhani et al., EuroS&P 2021", "budget": "linf", "variant_of": None},
    "knobs": {"properties": {"eps_255": {"type": "number", "default": 8}}},
}
PROBLEM = {
    "type": "about:blank",
    "title": "The input is not valid",
    "status": 422,
    "detail": "spec.attack.eps_255: -3 is out of range: it must be above 0.0",
    "errors": [
        {
            "field": "spec.attack.eps_255",
            "message": "-3 is out of range: it must be above 0.0",
            "remedy": "it must be above 0.0",
        }
    ],
}


def page(item: Any) -> dict[str, Any]:
    return {"items": [item], "next": None}


def ok(example: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that answers like this."""
    return {status: {"content": {"application/json": {"example": example}}}}
