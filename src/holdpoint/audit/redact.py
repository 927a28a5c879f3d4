"""Takes secrets out of statements before anything is written down.

Statements that can carry a secret are few: passwords of roles, options of servers and user
mappings, connection strings. The work is done on the text, not on the syntax tree, because a
statement that does not parse can carry a secret too. Two rules keep it honest:

* **No leak on odd quoting.** What cannot be read for certain loses every string literal.
* **No hiding place.** Only string literals are replaced, never the code around them, so that an
  agent cannot use a password as a cloak for what it did.

A replaced literal reads ``'[redacted]'``; inside a connection string only the secret is replaced
where its bounds are certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

MARK: Final = "[redacted]"
REPLACEMENT: Final = f"'{MARK}'"
NESTING_MAX: Final = 4  # dollar quotes within dollar quotes that are still read

# Words without which no statement carries a secret that this module knows. Looked for first, as
# plain substrings: most statements end here, in well under a microsecond.
_TRIGGERS: Final = (
    "pass",
    "pwd",
    "secret",
    "token",
    "_key",
    "dblink",
    "mapping",
    "subscription",
    "server",
    "conninfo",
    "identified",
    "://",
)

# Names after which a literal is a secret.
_SECRET_NAME: Final = re.compile(
    r"(?:.*_)?(?:password|passwd|passphrase|pwd|pgpass|sslpassword|passcode|secret|secret_key"
    r"|token|api_?key|access_key|private_key|(?:primary|repl)_?conninfo)"
)
# Statements whose literals are all lost when one of them cannot be read for certain.
_CONNECTION_WORD: Final = re.compile(r"mapping|server|subscription|.*dblink.*|.*conninfo")
_CONNECTORS: Final = frozenset({"=", ":=", "=>", ":", "(", "to"})

# `password = value` in a connection string, `scheme://user:value@` in a URI.
_SETTING: Final = re.compile(
    r"((?:password|passwd|passphrase|passcode|pwd|secret|token|api_?key|access_key)\s*=\s*)"
    r"([^\s'\"\\&;$|]+)?(?=([\s&;]|$)?)",
    re.IGNORECASE,
)
_DONE: Final = re.compile(r"=\s*('{0,2})\[redacted\]\1(?=[\s&;']|$)")  # nothing left to redact
# A password in a URI holds no `/` (libpq's own reader stops there), which keeps this linear.
_URI: Final = re.compile(r"(://[^\s'\"/?#:@]*:)([^\s'\"\\/]*)(@)")
_DOLLAR: Final = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$")
_WORD: Final = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*")
_OPERATOR: Final = re.compile(r":=|=>|\|\||.", re.DOTALL)
_QUOTE: Final = re.compile(r"['\"$]")
_SINGLE: Final = frozenset("();,.+*<[]{}0123456789")  # characters that begin nothing longer
_SPACE: Final = re.compile(r"\s+")


class _Kind(Enum):
    WORD = 1
    NAME = 2  # a quoted identifier
    STRING = 3
    DOLLAR = 4
    OTHER = 5


class _Token(NamedTuple):
    """One token; a tuple, because long statements have very many.

    ``value`` is a word in lower case, or the raw content of a literal.
    """

    kind: _Kind
    start: int
    end: int
    value: str
    certain: bool = True  # False: escapes or a missing end, the content is not what it seems


def redact(text: str) -> str:
    """Return ``text`` without the secrets in it. Ordinary statements come back unchanged."""
    low = text.lower()
    for trigger in _TRIGGERS:
        if trigger in low:
            # Secrets stand in literals only: without a quote there is none.
            return _redact(text, 0) if _QUOTE.search(text) else text
    return text


def _may_quote(text: str) -> bool:
    low = text.lower()
    return any(trigger in low for trigger in _TRIGGERS)


def _redact(text: str, depth: int) -> str:
    """Replace what either reading of a backslash finds: the session's setting is not known here."""
    spans = dict(_secrets(text, depth, backslash=False))
    if "\\" in text:
        for span, new in _secrets(text, depth, backslash=True):
            spans[span] = new if spans.get(span, new) == new else REPLACEMENT
    out: list[str] = []
    position = 0
    for (start, end), new in sorted(spans.items()):
        if start < position:  # the two readings overlap: both are lost
            position = max(position, end)
            continue
        out += (text[position:start], new)
        position = end
    out.append(text[position:])
    return "".join(out)


def _secrets(text: str, depth: int, *, backslash: bool) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield every span to replace, with its replacement, statement by statement."""
    statement: list[_Token] = []
    for token in _tokens(text, backslash=backslash):
        if token.kind is _Kind.OTHER and token.value == ";":
            yield from _statement_secrets(statement, depth)
            statement = []
        else:
            statement.append(token)
    yield from _statement_secrets(statement, depth)


def _statement_secrets(tokens: list[_Token], depth: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield the spans to replace in one statement."""
    connects = any(
        token.kind in (_Kind.WORD, _Kind.NAME) and _CONNECTION_WORD.fullmatch(token.value)
        for token in tokens
    )
    composed = any(
        (token.kind is _Kind.OTHER and token.value == "||")
        or (token.kind is _Kind.WORD and token.value in ("format", "concat", "concat_ws", "chr"))
        or (token.kind in (_Kind.STRING, _Kind.DOLLAR) and not token.certain)
        for token in tokens
    )
    mapping = any(t.kind is _Kind.WORD and t.value == "mapping" for t in tokens)
    after_secret = False
    for index, token in enumerate(tokens):
        if token.kind in (_Kind.WORD, _Kind.OTHER):
            continue
        named = after_secret or _names_secret(tokens, index)
        if token.kind is _Kind.NAME:
            if depth and (named or _SETTING.search(token.value) or _URI.search(token.value)):
                yield (token.start, token.end), f'"{MARK}"'
            continue
        # Literals that follow each other are one literal: `'a'` newline `'b'`.
        follower = tokens[index + 1] if index + 1 < len(tokens) else None
        after_secret = named and follower is not None and follower.kind is _Kind.STRING
        user = mapping and _previous_word(tokens, index) == "user"
        if named or (mapping and not user) or (connects and composed):
            yield (token.start, token.end), REPLACEMENT
            continue
        new = _cleaned(token, depth)
        if new is not None:
            yield (token.start, token.end), new


def _previous_word(tokens: list[_Token], index: int) -> str:
    return tokens[index - 1].value if index and tokens[index - 1].kind is not _Kind.OTHER else ""


def _names_secret(tokens: list[_Token], index: int) -> bool:
    """Tell whether the literal at ``index`` is the value of something named like a secret."""
    before = index - 1
    while before >= 0 and tokens[before].value in _CONNECTORS:
        before -= 1
    if before < 0 or tokens[before].kind not in (_Kind.WORD, _Kind.NAME):
        return False
    token = tokens[before]
    if token.kind is _Kind.NAME and not token.certain:
        return True  # an identifier written with escapes can spell anything
    if token.kind is _Kind.WORD and token.value in ("connection", "by"):
        # CREATE SUBSCRIPTION … CONNECTION '…'; IDENTIFIED BY '…'
        return token.value == "connection" or _previous_word(tokens, before) == "identified"
    return _SECRET_NAME.fullmatch(token.value) is not None


def _cleaned(token: _Token, depth: int) -> str | None:
    """Return a literal's replacement if its content holds a secret; None leaves it as it is."""
    content = token.value
    if not token.certain:
        escaped = re.sub(
            r"\\(?:x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[0-7]{1,3}|.)",
            "",
            content,
            flags=re.IGNORECASE | re.DOTALL,
        )
        suspect = escaped != content or _holds_secret(content)
        return REPLACEMENT if suspect else None
    if token.kind is _Kind.DOLLAR:
        return _cleaned_dollar(token, depth)
    inner = content.replace("''", "'")
    if _may_quote(inner) and "'" in inner:  # dynamic SQL: a statement within a literal
        if depth >= NESTING_MAX:
            return REPLACEMENT
        clean = _redact(inner, depth + 1)
        if clean != inner:
            return "'" + clean.replace("'", "''") + "'"
    return _without_settings(content, "'", "'") if _holds_secret(content) else None


def _cleaned_dollar(token: _Token, depth: int) -> str | None:
    """A dollar quote is either a connection string or code, which may itself quote secrets."""
    if not _may_quote(token.value):
        return None
    if depth >= NESTING_MAX:
        return REPLACEMENT
    content = token.value
    tag = "$" + content[1 : content.index("$", 1)] + "$"
    inner = content[len(tag) : -len(tag)]
    if _holds_secret(inner) and not re.search(r"[();]", inner):
        return _without_settings(inner, tag, tag)
    if any(not t.certain and t.end == len(inner) for t in _tokens(inner, backslash=False)):
        return REPLACEMENT  # not SQL: where its literals end is anyone's guess
    clean = _redact(inner, depth + 1)
    return None if clean == inner else tag + clean + tag


def _holds_secret(content: str) -> bool:
    content = _DONE.sub("", content)
    return _SETTING.search(content) is not None or _URI.search(content) is not None


def _without_settings(content: str, opening: str, closing: str) -> str:
    """Replace only the secrets of a connection string, or all of it if a bound is uncertain."""
    if "'" in content or "\\" in content or '"' in content:
        return REPLACEMENT
    for match in _SETTING.finditer(content):
        if match.group(2) is None or match.group(3) is None:
            return REPLACEMENT
    clean = _URI.sub(rf"\g<1>{MARK}\g<3>", _SETTING.sub(rf"\g<1>{MARK}", content))
    return opening + clean + closing


def _tokens(text: str, *, backslash: bool) -> Iterator[_Token]:
    """Cut a text as PostgreSQL's lexer does. ``backslash``: plain literals have escapes too."""
    position = 0
    while position < len(text):
        space = _SPACE.match(text, position)
        if space is not None:
            position = space.end()
            continue
        if text.startswith("--", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        if text.startswith("/*", position):
            position = _comment_end(text, position)
            continue
        token = _token(text, position, backslash=backslash)
        yield token
        position = token.end


def _comment_end(text: str, start: int) -> int:
    """Return where a comment ends; they nest. Without an end it goes to the end of the text."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def _token(text: str, start: int, *, backslash: bool) -> _Token:
    """Return the token that starts at ``start``, which is neither space nor comment."""
    char = text[start]
    if char in _SINGLE:
        return _Token(_Kind.OTHER, start, start + 1, char)
    if char == "'":
        return _quoted(text, start, start, "'", backslash=backslash, plain=not backslash)
    if char == '"':
        return _quoted(text, start, start, '"', backslash=False, plain=True)
    prefix = text[start : start + 3].lower()
    if prefix[:2] == "e'":
        return _quoted(text, start, start + 1, "'", backslash=True, plain=False)
    if prefix[:2] in ("b'", "x'", "n'"):
        return _quoted(text, start, start + 1, "'", backslash=False, plain=True)
    if prefix in ("u&'", 'u&"'):
        return _quoted(text, start, start + 2, prefix[2], backslash=False, plain=False)
    word = _WORD.match(text, start)
    if word is not None:
        return _Token(_Kind.WORD, start, word.end(), word.group().lower())
    dollar = _DOLLAR.match(text, start)
    if dollar is not None:
        end = text.find(dollar.group(), dollar.end())
        if end < 0:
            return _Token(_Kind.DOLLAR, start, len(text), text[start:], certain=False)
        end += len(dollar.group())
        return _Token(_Kind.DOLLAR, start, end, text[start:end])
    operator = _OPERATOR.match(text, start)
    assert operator is not None, "one character always matches"
    return _Token(_Kind.OTHER, start, operator.end(), operator.group())


def _quoted(
    text: str, start: int, opening: int, quote: str, *, backslash: bool, plain: bool
) -> _Token:
    """Return a quoted token; ``plain`` content reads as it is written."""
    kind = _Kind.STRING if quote == "'" else _Kind.NAME
    position = opening + 1
    while True:
        position = _next_end(text, position, quote, backslash=backslash)
        if position < 0:
            return _Token(kind, start, len(text), text[opening + 1 :], certain=False)
        if text.startswith(quote, position + 1):
            position += 2
            continue
        content = text[opening + 1 : position]
        certain = plain or "\\" not in content
        if kind is _Kind.NAME:
            content = content.lower()
            certain = plain
        return _Token(kind, start, position + 1, content, certain)


def _next_end(text: str, position: int, quote: str, *, backslash: bool) -> int:
    """Return where the next quote stands that no backslash escapes, or -1."""
    while True:
        end = text.find(quote, position)
        if end < 0 or not backslash:
            return end
        escape = text.find("\\", position, end)
        if escape < 0:
            return end
        position = escape + 2
