"""Checkpoints that come with the project, trained by its own command: no job has to train them.

They lie in ``poisoning/checkpoints`` in half precision, each with its card, whose clean accuracy is
that of the stored file. ``python -m poisoning ship`` (poisoning.models.shipping) puts them there.
No torch in here.
"""

import json
from pathlib import Path

from poisoning.spec import PretrainSpec

FOLDER = Path(__file__).parent / "checkpoints"


def find(name: str, spec: PretrainSpec) -> Path | None:
    """The file of the checkpoint of that name and recipe; None where it does not come with us."""
    path = FOLDER / f"{name}.safetensors"
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return path if PretrainSpec.model_validate(card["recipe"]) == spec else None
