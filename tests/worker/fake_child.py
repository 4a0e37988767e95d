"""Stands in for ``python -m poisoning work``: speaks the events, computes nothing.

Called as ``fake_child.py MARKS JOB.json``. It notes its number in ``MARKS/pids`` and each trial it
executes in ``MARKS/executed``, and does what ``MARKS/plan.json`` says, an object with these keys:

- ``trial_s``: how long a trial takes; ``gate``: a file to wait for before trial ``gate_at``
- ``crash_at``: trial number at which it dies, with ``crash_signal``; ``crash_times``: so often
- ``fits``: so many trials fit into memory
- ``fail``: a Failed event to end with; ``garble``: print something that is no event
- ``is_deaf``: ignore SIGTERM
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def say(**event):
    print(json.dumps(event), flush=True)


def watch_stdin():
    sys.stdin.buffer.read()
    os._exit(3)


def judged(success):
    return {
        "prediction": 1 if success else 0,
        "confidence": 0.9 if success else 0.1,
        "margin": 1.5 if success else -1.5,
        "clean_accuracy": 0.9,
    }


def outcome(victim, index):
    return {
        "victim": victim,
        "access": "white_box",
        "success": index % 2 == 0,
        "poisoned": judged(index % 2 == 0),
        "twin": judged(False),
        "twin_success": False,
        "clean_images": 100,
        "seconds": 0.01,
        "outcome_hash": hashlib.sha256(f"o{victim}:{index}".encode()).hexdigest(),
    }


def do_trial(job, index, work_dir):
    path = work_dir / f"poisons-{index}.safetensors"
    content = f"poisons of trial {index}, seed {job['spec']['seed']}".encode()
    path.write_bytes(content)
    say(
        event="trial",
        index=index,
        setup={
            "target_class": 0,
            "target_index": index,
            "base_class": 1,
            "base_indices": [1, 2, 3],
        },
        poison_set=path.name,
        poison_set_hash=hashlib.sha256(content).hexdigest(),
        craft_hash=hashlib.sha256(b"craft" + content).hexdigest(),
        craft_seconds=0.01,
        linf_255=8,
        mean_l2=0.5,
        ssim=0.99,
        final_loss=0.1,
        outcomes=[outcome(v, index) for v in range(len(job["spec"]["victims"]))],
    )


def crash_if_planned(plan, index, marks):
    if plan.get("crash_at") != index:
        return
    crashes = marks / "crashes"
    done = len(crashes.read_text()) if crashes.exists() else 0
    if done < plan.get("crash_times", 1):
        with crashes.open("a") as file:
            file.write("x")
        print("something terrible at the end of stderr", file=sys.stderr, flush=True)
        os.kill(os.getpid(), plan.get("crash_signal", signal.SIGSEGV))


def run_trials(job, plan, marks, work_dir):
    for position, index in enumerate(job["indices"]):
        crash_if_planned(plan, index, marks)
        if plan.get("gate_at") == index:
            while not (marks / plan["gate"]).exists():
                time.sleep(0.02)
        time.sleep(plan.get("trial_s", 0.0))
        with (marks / "executed").open("a") as file:
            file.write(f"{index}\n")
        do_trial(job, index, work_dir)
        say(
            event="progress",
            stage="craft",
            done=position + 1,
            total=len(job["indices"]),
            unit="trials",
        )


def run_pretrain(job, work_dir):
    path = work_dir / "checkpoint.safetensors"
    content = f"weights of {job['name']}".encode()
    path.write_bytes(content)
    say(
        event="checkpoint",
        name=job["name"],
        path=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        clean_accuracy=0.91,
        card={"name": job["name"], "clean_images": 100},
        seconds=0.1,
    )


def main():
    threading.Thread(target=watch_stdin, daemon=True).start()
    job = json.loads(Path(sys.argv[2]).read_text())
    work_dir = Path(job["machine"]["work_dir"])
    marks = Path(sys.argv[1])
    plan = json.loads((marks / "plan.json").read_text())
    if plan.get("is_deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with (marks / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n")
    say(event="started", provenance={"fake": True})
    if plan.get("garble"):
        print("Downloading the internet...", flush=True)
        time.sleep(30)
    if "fail" in plan:
        say(event="failed", **plan["fail"])
        return
    if len(job.get("indices", ())) > plan.get("fits", 1000):
        say(event="failed", reason="out_of_memory", message="too large", remedy="smaller")
        return
    if job["kind"] in ("pretrain", "adopt"):
        run_pretrain(job, work_dir)
    else:
        run_trials(job, plan, marks, work_dir)
    say(event="done", seconds=0.1)


main()
