"""What an agent could write to mislead the reader, and what the reader gets to see."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.doors.web.sqltext import seen, spoken, sql_text
from holdpoint.model.limits import WEB_STATEMENT_CHARS_MAX


def classes(sql: str, kind: str) -> list[str]:
    """The texts that carry a class."""
    found = re.findall(rf'<span class="{kind}">(.*?)</span>', sql_text(sql).markup)
    return [unescape(text) for text in found]


def test_markup_in_a_statement_is_text():
    shown = sql_text("SELECT '<script>alert(1)</script>'").markup
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("sql", "comments"),
    [
        ("SELECT 1 -- done", ["-- done"]),
        ("SELECT '-- not one'", []),
        ('SELECT "-- not one"', []),
        ("SELECT $a$ -- not one $a$", []),
        ("/* a /* b */ c */ DROP TABLE t", ["/* a /* b */ c */"]),
        # A carriage return ends a comment for the server, so what follows runs.
        ("-- safe\rDROP TABLE t", ["-- safe"]),
        # Only E'' strings have backslash escapes: here the string is closed, and the drop runs.
        ("SELECT '\\'; DROP TABLE t; -- '", ["-- '"]),
        ("SELECT E'\\'; DROP TABLE t; -- '", []),
    ],
)
def test_comments_are_those_of_the_server(sql: str, comments: list[str]):
    assert classes(sql, "c") == comments


def test_what_destroys_is_loud():
    assert classes("TRUNCATE a; select 1; drop table b", "k loud") == ["TRUNCATE", "drop"]


@pytest.mark.parametrize("char", ["\u202e", "\u200b", "\u00ad", "\u00a0", "\x1b", "\x00", "\u3164"])
def test_characters_that_hide_are_shown_by_number(char: str):
    shown = sql_text(f"SELECT 1 /* {char} */")
    assert char not in shown.markup
    assert f"U+{ord(char):04X}" in shown.markup
    assert "1 invisible" in shown.warnings[0]


def test_letters_that_look_like_others_are_marked_in_names_but_not_in_strings():
    assert sql_text("DELETE FROM \u043erders").warnings
    assert sql_text('DELETE FROM "\u043erders"').warnings
    assert not sql_text("SELECT 'Grüße'").warnings


def test_a_thousand_blank_lines_do_not_push_the_rest_away():
    shown = sql_text("SELECT 1;" + "\n" * 1000 + "DROP TABLE t")
    assert "999 blank lines" in shown.markup
    assert shown.markup.count('class="line"') == 2
    assert 'data-n="1001"' in shown.markup
    assert shown.lines == 1001


def test_wide_gaps_are_counted():
    assert "500 blanks" in sql_text("SELECT 1;" + " " * 500 + "DROP TABLE t").markup


def test_a_text_too_long_shows_its_head_and_its_tail_and_says_so():
    shown = sql_text("SELECT 1;\n" * WEB_STATEMENT_CHARS_MAX + "DROP TABLE t")
    assert shown.cut == shown.characters - WEB_STATEMENT_CHARS_MAX
    assert f"{shown.cut:,} characters are not shown here" in shown.markup
    assert "DROP TABLE t" in shown.markup


@given(st.text(alphabet="ab'\"$E\\-/*;\n \u202e<&", max_size=60))
def test_nothing_but_blanks_is_lost(sql: str):
    """Without its tags and line breaks, the markup reads as the text does."""
    markup = re.sub(r'<span class="gap">.*?</span>', "", sql_text(sql).markup)
    plain = unescape(re.sub(r"<[^>]*>", "", markup)).replace("U+202E", "\u202e")
    assert plain.replace(" ", "") == sql.replace("\n", "").replace(" ", "")


def test_messages_set_user_text_as_code():
    assert spoken("drop of `a<b`") == "drop of <code>a&lt;b</code>"
    assert "<code>" not in spoken("an odd ` backtick")


def test_a_name_cannot_turn_the_reading_direction():
    assert "\u202e" not in seen("agent\u202e")
    assert seen("a\nb") == "a<br>b"
