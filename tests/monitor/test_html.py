"""Text never becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from lugha.monitor.html import Html, join, table, tag


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


# A browser reads \r as a newline and drops NUL, whatever the page does.
@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
def test_any_text_comes_back_as_text(text: str) -> None:
    read = _read(tag("p", text, title=text, class_="a"))
    assert read.tags == ["p"]
    assert read.text == text
    assert read.attributes == {"title": text, "class": "a"}


def test_markup_passes_and_attributes_that_are_none_are_left_out() -> None:
    assert tag("p", "a < b", tag("b", "&"), id=None) == "<p>a &lt; b<b>&amp;</b></p>"
    assert tag("br") == "<br>"
    assert isinstance(join(["<", Html("<hr>")]), Html)
    assert join(["<", Html("<hr>")]) == "&lt;<hr>"
    assert tag("i", data_step="1", aria_hidden="true") == '<i data-step="1" aria-hidden="true"></i>'


def test_a_table_names_its_rows_and_sets_figures_right() -> None:
    markup = table("Rows & more", ("Stage", "Rows"), [("<clean>", "1,000")])
    assert "<figcaption>Rows &amp; more</figcaption>" in markup
    assert '<th scope="row">&lt;clean&gt;</th><td class="figure">1,000</td>' in markup
    assert '<th scope="col" class="figure">Rows</th>' in markup
