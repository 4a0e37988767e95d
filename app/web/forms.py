"""Forms made of the typed specs: a knob's title, help, unit, bounds and default stand once.

A form's state is a mapping of dotted names to the strings that were typed, whether they came in a
query or in a body; nothing here knows one attack from another.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import ImmutableMultiDict

from app.errors import FieldProblem

Options = list[tuple[str, str]]
Groups = list[tuple[str, Options]]  # title, or '' for options that stand by themselves
Values = dict[str, list[str]]
SEVERAL = ("surrogates", "sampled_from")  # tick boxes that share one name


@dataclass
class Field:
    """One input: what it is called, what it may hold, what was typed, what is wrong with it."""

    name: str
    title: str
    kind: str  # integer | number | boolean | choice | text | lines | list
    help: str = ""
    unit: str = ""
    default: str = ""
    value: str = ""
    options: Options = field(default_factory=list)
    groups: Groups = field(default_factory=list)  # the options again, by what they belong to
    error: str | None = None

    @property
    def id(self) -> str:
        return self.name.replace(".", "-")

    @property
    def is_changed(self) -> bool:
        return bool(self.default) and self.value.strip() != self.default

    @property
    def default_words(self) -> str:
        if self.kind == "boolean":
            return "yes" if self.default == "true" else "no"
        text = dict(self.options).get(self.default, self.default)
        return text + (self.unit if self.unit.startswith("/") else f"\u00a0{self.unit}".rstrip())


def fields(
    model: type[BaseModel],
    prefix: str,
    values: Values,
    errors: Mapping[str, str],
    *,
    defaults: Mapping[str, Any] | None = None,
    options: Mapping[str, Options] | None = None,
    only: Iterable[str] | None = None,
) -> list[Field]:
    """The inputs of a model's plain knobs, in the order they are declared.

    ``defaults`` and ``options`` override the schema's by knob; nested models and the tag that
    tells attacks apart are left out.
    """
    schema = model.model_json_schema()
    chosen = set(only) if only is not None else None
    made = []
    for knob, part in schema["properties"].items():
        if (chosen is not None and knob not in chosen) or "const" in part or _is_nested(part):
            continue
        default = (defaults or {}).get(knob, part.get("default"))
        made.append(_field(f"{prefix}{knob}", part, default, (options or {}).get(knob)))
    for item in made:
        item.value = last(values, item.name, item.default)
        item.error = errors.get(item.name)
    return made


def _is_nested(part: Mapping[str, Any]) -> bool:
    """A model of its own, or one that may be missing."""
    return any("$ref" in inner for inner in (part, *part.get("anyOf", ())))


def _field(name: str, part: Mapping[str, Any], default: Any, options: Options | None) -> Field:
    inner = next((p for p in part.get("anyOf", ()) if p.get("type") != "null"), part)
    kind = {"array": "list", "string": "text"}.get(inner.get("type", ""), inner.get("type", "text"))
    if "enum" in inner:
        options = options or [(str(value), str(value)) for value in inner["enum"]]
    return Field(
        name=name,
        title=part.get("title", name.rpartition(".")[2].replace("_", " ").capitalize()),
        kind="choice" if options else kind,
        help=part.get("description", ""),
        unit=part.get("unit", ""),
        default=typed(default),
        options=options or [],
    )


def typed(value: Any) -> str:
    """A value as somebody would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list | tuple):
        return ", ".join(typed(item) for item in value)
    return str(value)


def last(values: Values, name: str, default: str = "") -> str:
    """What was typed into an input; of a tick box and its hidden 'no', the last one counts."""
    found = values.get(name)
    return found[-1] if found else default


def values_of(sent: ImmutableMultiDict[str, Any], longest: int = 20_000) -> Values:
    """A query or a body as dotted names and the strings typed; uploads are not expected."""
    found: Values = {}
    for name, value in sent.multi_items():
        if isinstance(value, str):
            found.setdefault(name, []).append(value[:longest])
    return found


def flatten(spec: Mapping[str, Any], prefix: str = "") -> Values:
    """A spec as the form would have sent it."""
    flat: Values = {}
    for key, value in spec.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            for index, item in enumerate(value):
                flat |= flatten(item, f"{name}.{index}.")
        elif name in SEVERAL:
            flat[name] = [typed(item) for item in value]
        else:
            flat[name] = [typed(value)]
    return flat


def nest(model_fields: Iterable[Field]) -> dict[str, Any]:
    """What was typed, as the nested mapping a model validates.

    An empty box means the default, but an empty list is one.
    """
    tree: dict[str, Any] = {}
    for item in model_fields:
        value: Any = item.value.strip() or item.default or None
        if item.kind == "list":
            value = [part for part in re.split(r"[,;\s]+", item.value) if part]
        *path, knob = item.name.split(".")
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[knob] = value
    return tree


# --- errors -------------------------------------------------------------------------------------


def sentences(problems: Iterable[FieldProblem]) -> dict[str, str]:
    """What is wrong, by the dotted name of the field, with the remedy where it adds something."""
    found: dict[str, str] = {}
    for problem in problems:
        text = problem.message
        if problem.remedy and problem.remedy not in text:
            text = f"{text}; {problem.remedy}"
        found.setdefault(problem.field, text)
    return found


def families(names: Mapping[str, Any]) -> Groups:
    """A catalogue whose rows may be variants of others, by family; loners stand by themselves."""
    groups: Groups = []
    for root in (row for row in names.values() if row.variant_of is None):
        kin = [row for row in names.values() if root.name in (row.name, row.variant_of)]
        title = root.title if len(kin) > 1 else ""
        groups.append((title, [(row.name, row.title) for row in kin]))
    return groups


def choice(names: Mapping[str, Any]) -> Options:
    """A catalogue as options: name and title."""
    return [(name, row.title) for name, row in names.items()]


PRECISIONS: Options = [("exact", "exact: fp32"), ("fast", "fast: bf16, TF32")]
