"""Tables of a page as files: as text, or as the figure of what they draw."""

from collections.abc import Sequence
from typing import Literal

from fastapi import Response

from app.errors import NotFound
from app.services import exports, figures
from app.services.exports import Origin, Table
from app.web import sheets

Format = Literal["", "csv", "json", "markdown", "latex", "pdf", "svg", "png"]
Width = Literal["page", "column"]
OF_A_FILE = {"table", "format", "width"}  # what of a page's query asks for a file


def download(
    tables: Sequence[Table], key: str, form: str, origin: Origin, width: str = "page"
) -> Response:
    """A table as a file; NotFound or Invalid name what there is not."""
    table = sheets.named(tables, key)
    if table is None:
        raise NotFound(f"there is no table {key!r} on this page")
    content: str | bytes
    if form in figures.FORMS:
        content = figures.draw(table, form, width, origin)
        name, media_type = f"dosimeter-{table.key}.{form}", figures.FORMS[form]
    else:
        file = exports.export(table, form or "csv", origin)
        content, name, media_type = file.text, file.name, file.media_type
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
