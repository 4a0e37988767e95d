"""A spec as a file that a person writes: JSON, or YAML without what could surprise. No torch.

What is YAML in it is said in poisoning.spec_yaml.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poisoning.spec import FieldError

MOST_BYTES = 256 * 1024
YAML = (".yaml", ".yml")


def read(path: Path) -> dict[str, Any]:
    """The raw spec, not yet validated: by the name's ending YAML, else JSON. FieldError names
    the line, or the field, of what is wrong.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FieldError(
                "spec", f"{path} is larger than {MOST_BYTES // 1024} KiB", "name a spec"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise FieldError("spec", f"{path} cannot be read as text ({error})") from None
    return parse(text, is_yaml=path.suffix.lower() in YAML)


def parse(text: str, *, is_yaml: bool) -> dict[str, Any]:
    """As ``read``, of a text."""
    kind = "YAML" if is_yaml else "JSON"
    try:
        found = _load_yaml(text) if is_yaml else json.loads(text)
    except FieldError:
        raise
    except (ValueError, RecursionError) as error:
        raise FieldError("spec", f"cannot be read as {kind} ({error})") from None
    if not isinstance(found, dict):
        raise FieldError("spec", f"is not an object in {kind}", "begin with attack:")
    for field, value in _leaves(found):
        if isinstance(value, float) and not math.isfinite(value):
            raise FieldError(field, f"is {value}", "give a number")
        if isinstance(value, bytes | set):
            raise FieldError(field, "is neither text nor a number", "put it in quotes")
    return found


def _load_yaml(text: str) -> Any:
    try:
        from poisoning import spec_yaml
    except ImportError:
        raise FieldError("spec", "YAML needs PyYAML", "install it, or write JSON") from None
    return spec_yaml.load(text)


def _leaves(value: Any, field: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that holds nothing itself, with its dotted field."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in pairs:
            yield from _leaves(inner, f"{field}.{name}" if field else str(name))
    else:
        yield field, value
