"""YAML, read as JSON would be: no tags, no references, no dates, names are text and stand once.

Apart from poisoning.spec_file, because it alone needs PyYAML.
"""

from typing import Any

import yaml

from poisoning.spec import FieldError

DATES = "tag:yaml.org,2002:timestamp"


class _Refused(yaml.YAMLError):
    def __init__(self, node: yaml.Node | yaml.Event, message: str) -> None:
        self.problem, self.problem_mark = message, node.start_mark
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """Makes only what JSON can say. References are refused: a few lines of them unfold to more
    than any memory holds.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != DATES]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _Refused(self.peek_event(), "references (*name) are not read; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _Refused(key, f"the name {key.value!r} is not text; put it in quotes")
            if key.value in names:
                raise _Refused(key, f"{key.value!r} stands here twice")
            names.add(key.value)
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """FieldError names the line of what is wrong."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise FieldError("spec", f"cannot be read as YAML ({_where(error)})") from None


def dump(raw: dict[str, Any]) -> str:
    """As ``load`` takes it; fields in their order."""
    return str(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=100))


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
