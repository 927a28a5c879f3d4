"""A statement as safe, highlighted HTML that hides nothing from the reader.

The agent chose every character of the text, so this page is where it would try to mislead the
human: with characters that are invisible or turn the direction of reading around, with a thousand
blank lines before the dangerous half, with letters that look like other letters. All of these are
made visible here.

The scanner is our own and linear in the length of the text: general highlighters have rules that
take quadratic time on texts made for it, and this runs in the gate's event loop. It follows
PostgreSQL's lexical rules (nested comments, ``E''`` strings, dollar quotes), so that nothing is
coloured as a comment which the server would run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from holdpoint.model.limits import WEB_STATEMENT_CHARS_MAX

# Words worth a colour: those that say what a statement does, and the glue between them.
_KEYWORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    add all alter analyze and any as asc authorization begin between by call cascade case cast check
    cluster column comment commit concurrently conflict constraint copy create cross current cursor
    database deallocate declare default delete desc disable discard distinct do domain drop else
    enable end except execute exists explain extension fetch for force foreign from full function
    grant group having if ilike in index inner insert instead intersect into is isolation join key
    language lateral left like limit listen local lock materialized merge natural not notify null of
    offset on only or order outer over owner partition policy prepare primary privileges procedure
    program public reassign recursive references refresh reindex release rename replace reset
    restrict returning returns revoke right role rollback row rule savepoint schema security select
    sequence session set show similar table tablespace temporary then to transaction trigger
    truncate type union unique unlogged update user using vacuum values view when where with
    """,
    )
)
# Words that remove, overwrite or give away: they carry weight as well as colour.
_LOUD: Final = frozenset(
    re.findall(r"\w+", "alter delete drop grant merge program reassign revoke truncate update")
)
_WORD: Final = re.compile(r"[^\W\d][\w$]*")
_NUMBER: Final = re.compile(r"\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SPACE: Final = re.compile(r"\s+")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_LINE_END: Final = re.compile(r"[\r\n]")
_DOLLAR: Final = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_PLAIN_QUOTED: Final = re.compile(r"'[^']*(?:''[^']*)*(?:'|\Z)", re.DOTALL)
_ESCAPE_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)", re.DOTALL)
_IDENTIFIER: Final = re.compile(r'"[^"]*(?:""[^"]*)*(?:"|\Z)', re.DOTALL)
_OPERATOR: Final = re.compile(r"[-+*/<>=~!@#%^&|`?:]")
_LINES: Final = re.compile(r"\r\n|\n|\r")
_WIDE_GAP: Final = re.compile(r"[ \t]{61,}")
_BLANK_LINES_SHOWN: Final = 3
_PROSE: Final = "t"  # a message of ours, not SQL
_BARE: Final = frozenset({"", _PROSE})  # classes that need no colour
_NAMING: Final = frozenset({"", "q", "k", "k loud"})  # classes whose text can name an object


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlText:
    """A text ready for the page: its markup, its size, and what the reader should beware of."""

    markup: Markup
    characters: int
    lines: int
    cut: int
    warnings: tuple[str, ...]


def _is_hidden(char: str) -> bool:
    """Whether a character would not be seen, or would change how its neighbours are seen."""
    # `isprintable` is false for every control, format and separator character but the space. The
    # two letters named here are fillers that print as nothing.
    return char not in "\n\t" and (not char.isprintable() or char in "\u115f\u3164")


def _comment_end(text: str, start: int) -> int:
    """Where the block comment that opens at ``start`` closes; comments nest in PostgreSQL."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _quoted_end(text: str, start: int) -> int | None:
    """The end of a string, quoted name or dollar quote that starts here, if one does."""
    char = text[start]
    if char == "'":
        escapes = start > 0 and text[start - 1] in "eE" and not _in_word(text, start - 2)
        found = (_ESCAPE_QUOTED if escapes else _PLAIN_QUOTED).match(text, start)
        return found.end() if found else len(text)
    if char == '"':
        found = _IDENTIFIER.match(text, start)
        return found.end() if found else len(text)
    tag = _DOLLAR.match(text, start) if char == "$" else None
    if tag is None:
        return None
    end = text.find(tag.group(), tag.end())
    return len(text) if end < 0 else end + len(tag.group())


def _in_word(text: str, index: int) -> bool:
    return index >= 0 and (text[index].isalnum() or text[index] in "_$")


def _token_end(text: str, at: int) -> tuple[str, int]:
    """The class and the end of the token at ``at``; the class is empty for plain text."""
    char = text[at]
    if text.startswith("--", at):
        found = _LINE_END.search(text, at)
        return "c", found.start() if found else len(text)
    if text.startswith("/*", at):
        return "c", _comment_end(text, at)
    quoted = _quoted_end(text, at)
    if quoted is not None:
        return ("q" if char == '"' else "s"), quoted
    for pattern, kind in ((_SPACE, ""), (_NUMBER, "m"), (_OPERATOR, "o")):
        found = pattern.match(text, at)
        if found:
            return kind, found.end()
    found = _WORD.match(text, at)
    if not found:
        return "", at + 1
    if found.end() == at + 1 and char in "eE" and text.startswith("'", at + 1):
        return "s", found.end()
    word = found.group().lower()
    if word in _LOUD:
        return "k loud", found.end()
    return ("k" if word in _KEYWORDS else ""), found.end()


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Every character of the text, in order, in pieces with their classes."""
    at = 0
    while at < len(text):
        kind, end = _token_end(text, at)
        yield kind, text[at:end]
        at = end


def _piece(kind: str, text: str) -> Markup:
    """One piece of one line, with what cannot be seen made visible."""
    out: list[str] = []
    for char in text:
        if _is_hidden(char):
            name = unicodedata.name(char, "control character").lower()
            mark = '<span class="odd" title="{}">U+{:04X}</span>'
            out.append(mark.format(escape(name), ord(char)))
        elif ord(char) > 127 and kind in _NAMING and unicodedata.category(char)[0] in "LM":
            name = unicodedata.name(char, "unnamed letter").lower()
            out.append(f'<span class="foreign" title="{escape(name)}">{escape(char)}</span>')
        else:
            out.append(str(escape(char)))
    body = _mark_gaps("".join(out))
    return Markup(f'<span class="{kind}">{body}</span>' if kind not in _BARE else body)  # noqa: S704 - escaped


def _mark_gaps(body: str) -> str:
    return _WIDE_GAP.sub(
        lambda gap: f' <span class="odd">{len(gap.group()):,} blanks</span> ', body
    )


def _html_lines(text: str, *, plain: bool = False) -> list[Markup]:
    """The text as one piece of markup per line."""
    lines: list[list[Markup]] = [[]]
    for kind, token in [("", text)] if plain else _tokens(text):
        for index, part in enumerate(_LINES.split(token)):
            if index:
                lines.append([])
            if part:
                lines[-1].append(_piece(kind, part))
    return [Markup("").join(parts) for parts in lines]


def _numbered(lines: list[Markup], first: int) -> Markup:
    """Lines with numbers; long runs of blank ones become one line that says how many."""
    out: list[Markup] = []
    index = 0
    while index < len(lines):
        end = index
        while end < len(lines) and not lines[end].strip():
            end += 1
        if end - index > _BLANK_LINES_SHOWN:
            out.append(Markup('<span class="gap">{} blank lines</span>').format(f"{end - index:,}"))
            index = end
            continue
        row = Markup('<span class="line" data-n="{}">{}</span>')
        out.append(row.format(first + index, lines[index] or Markup(" ")))
        index += 1
    return Markup("").join(out)


def _warnings(text: str) -> tuple[str, ...]:
    hidden = sum(1 for char in text if _is_hidden(char) and char != "\r")
    foreign = any(
        ord(char) > 127 and char.isalpha()
        for kind, token in _tokens(text)
        if kind in _NAMING
        for char in token
    )
    found = []
    if hidden:
        found.append(
            f"{hidden:,} invisible or direction-changing characters; each is shown by its number"
        )
    if foreign:
        found.append("names with letters outside of ASCII; they may look like other letters")
    return tuple(found)


@lru_cache(maxsize=64)
def sql_text(text: str) -> SqlText:
    """Make a statement ready for the page.

    Over ``WEB_STATEMENT_CHARS_MAX`` characters, the head and the tail are shown, and ``cut`` says
    how many characters between them are not.
    """
    count = len(_LINES.findall(text)) + 1
    if len(text) <= WEB_STATEMENT_CHARS_MAX:
        markup, cut, warned = _numbered(_html_lines(text), 1), 0, text
    else:
        head = text[: WEB_STATEMENT_CHARS_MAX * 3 // 4]
        tail = text[-WEB_STATEMENT_CHARS_MAX // 4 :]
        cut = len(text) - len(head) - len(tail)
        gap = Markup('<span class="gap cut">{} characters are not shown here</span>')
        tail_first = count - len(_LINES.findall(tail))
        # Where the tail starts, inside a string or outside, is not known here: no colours.
        markup = _numbered(_html_lines(head), 1) + gap.format(f"{cut:,}")
        markup += _numbered(_html_lines(tail, plain=True), tail_first)
        warned = head + tail
    return SqlText(
        markup=markup, characters=len(text), lines=count, cut=cut, warnings=_warnings(warned)
    )


def spoken(text: str) -> Markup:
    """A message to people: escaped, with text in backticks set as code and nothing hidden."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an odd backtick is the user's own; show the message as it is
        return _piece(_PROSE, text)
    out = [
        Markup("<code>{}</code>").format(_piece("", part)) if index % 2 else _piece(_PROSE, part)
        for index, part in enumerate(parts)
        if part
    ]
    return Markup("").join(out)


def seen(text: str) -> Markup:
    """A name or a note as somebody wrote it: escaped, with nothing hidden."""
    return Markup("<br>").join(_piece("", line) for line in _LINES.split(text))
