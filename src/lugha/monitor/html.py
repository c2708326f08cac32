"""HTML built by functions, so that text cannot become markup.

    tag("p", "a < b & c", class_="note")  ->  <p class="note">a &lt; b &amp; c</p>

A child that is plain `str` is escaped; only what these functions return (`Html`) passes as it is.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_VOID = {"br", "col", "hr", "img", "meta"}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def join(parts: Iterable[str]) -> Html:
    """`parts` one behind the other, escaped where they are not markup."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part, quote=False) for part in parts))


def tag(name: str, *children: str, **attributes: str | None) -> Html:
    """An element; `class_` stands for class, `data_x` for data-x; attributes that are None are left out."""
    listed = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{listed}>" if name in _VOID else f"<{name}{listed}>{join(children)}</{name}>")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int] = (0,)) -> Html:
    """A table whose first column names the row; columns outside `text_columns` are figures, set flush right.

    A cell that is a `<th>` or `<td>` already stays as it is. Where the page is narrower than the table, the table scrolls
    and its caption does not.
    """

    def cell(column: int, content: str) -> Html:
        if isinstance(content, Html) and content.startswith(("<td", "<th")):
            return content
        kind = None if column in text_columns else "figure"
        if column == 0:
            return tag("th", content, scope="row", class_=kind)
        return tag("td", content, class_=kind)

    header = join(
        tag("th", title, scope="col", class_=None if column in text_columns else "figure")
        for column, title in enumerate(head)
    )
    body = join(tag("tr", *(cell(column, content) for column, content in enumerate(row))) for row in rows)
    inner = tag("table", tag("thead", tag("tr", header)), tag("tbody", body), aria_label=caption)
    scrolling = tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Table, scrolls sideways")
    return tag("figure", tag("figcaption", caption), scrolling)
