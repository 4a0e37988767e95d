"""The REST API, as a page: every operation, drawn from the OpenAPI description."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.web.render import page

router = APIRouter()
METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/docs")
def show(request: Request) -> Response:
    described: dict[str, Any] = request.app.openapi()
    groups: dict[str, list[dict[str, str]]] = {}
    for path, operations in described["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                tag = (operation.get("tags") or ["other"])[0]
                about = operation.get("description") or operation.get("summary", "")
                row = {"method": method.upper(), "path": path, "about": about}
                groups.setdefault(tag, []).append(row)
    return page(
        request, "reference/index.html", groups=groups, about=described["info"]["description"]
    )
