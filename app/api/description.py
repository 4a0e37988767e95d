"""The OpenAPI description: FastAPI's, with problems as what they are."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.problems import MEDIA_TYPE, ProblemView

_REF = "#/components/schemas/{model}"


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


PROBLEM_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemView")}}}
