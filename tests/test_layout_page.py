"""docs/layout.md is what its command writes, and has every field at its place."""

from __future__ import annotations

from layout_page import PAGE, page

from ringbuf import layout


def test_the_page_in_the_docs_is_what_its_command_writes() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_it_names_every_field_with_its_offset() -> None:
    text = page()
    for dtype in (layout.HEADER_DTYPE, layout.CONTROL_DTYPE, layout.COLUMN_DTYPE):
        for name, (_, offset, *_) in (dtype.fields or {}).items():
            assert name.startswith("_") or f"| {offset} | `{name}` |" in text
    assert "::" not in text
    assert "``" not in text.replace("```", "")
