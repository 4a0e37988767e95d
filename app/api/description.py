"""The OpenAPI description: FastAPI's, with problems as what they are."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api import examples
from app.problems import MEDIA_TYPE, ProblemView

_REF = "#/components/schemas/{model}"
_PROBLEM: dict[str, Any] = {
    "description": "A problem: what is wrong, with which field, and what to do about it",
    "content": {
        MEDIA_TYPE: {
            "schema": {"$ref": _REF.format(model=ProblemView.__name__)},
            "example": examples.PROBLEM,
        }
    },
}
# Every operation may answer with these.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _PROBLEM for status in (400, 401, 403, 404, 409, 413, 422, 503, 507)
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of ``app``, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _, schemas = models_json_schema([(ProblemView, "serialization")], ref_template=_REF)
        made["components"]["schemas"] |= schemas["$defs"]
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{}, {"token": []}]
        app.openapi_schema = made
    return app.openapi_schema
