"""A look at a long text before it is parsed: what would exhaust the parser's stack or its time.

The parser's own stack is bounded (it refuses about 10,000 open brackets), but a chain such as
``1+1+1+...`` needs none of it and still becomes a tree as deep as it is long, which libpg_query
then writes out by recursion: 100,000 links end the process (measured; about 100 bytes of stack per
link). And the lexer reads a run of operator characters again from every comment that opens in it:
a run of 20,000 takes 0.3 s. Texts below ``PRESCAN_FREE_BYTES`` can do neither.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model.limits import (
    COMMENT_RUN_COST_MAX,
    NESTING_DEPTH_MAX,
    PARSE_BYTES_MAX,
    PARSE_CHAIN_MAX,
    PARSE_TOKENS_MAX,
    PRESCAN_FREE_BYTES,
)

# One alternative per lexical form that hides its content, unterminated ones to the end of the
# text (the parser refuses those anyway). Everything is possessive: no backtracking, linear time.
# A literal goes on after white space with a line break, in the form it began with. White space is
# eaten in front of what follows it: measured, that halves the time a text takes.
_GAP = r"(?:[ \t\f\v]*+(?:--[^\n\r]*+)?+[\n\r]\s*+(?:--[^\n\r]*+[\n\r]\s*+)*+)"
_TOKEN: Final = re.compile(
    rf"""[ \t\n\r\f\v]*+(?:
      (?P<escape>[eE]'(?:[^'\\]|\\.|''|'{_GAP}')*+(?:'|\Z))
    | (?P<plain>'(?:[^']|''|'{_GAP}')*+(?:'|\Z))
    | (?P<quoted>"[^"]*+(?:"|\Z))
    | (?P<dollar>\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?+)\$
        (?:(?!\$(?P=tag)\$).)*+(?:\$(?P=tag)\$|\Z))
    | (?P<line>--[^\n\r]*+)
    | (?P<open>/\*)
    | (?P<or>[oO][rR](?![A-Za-z0-9_$\x80-\U0010ffff]))
    | (?P<stacking>(?i:union|intersect|except|join)(?![A-Za-z0-9_$\x80-\U0010ffff]))
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+)
    | (?P<number>\$?[0-9][A-Za-z0-9_.]*+)
    | (?P<separator>[,;])
    | (?P<enter>[(\[])
    | (?P<leave>[)\]])
    | (?P<end>\Z)
    | (?P<sign>::|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_OPERATOR_RUN: Final = re.compile(r"[-+*/<>=~!@\#%^&|`?]{64,}+")


def obstacle(text: str, size: int) -> str:
    """Why ``text`` of ``size`` bytes cannot be parsed safely, in words; empty when it can."""
    if size <= PRESCAN_FREE_BYTES:
        return ""
    if size > PARSE_BYTES_MAX:
        return f"the text is {size:,} bytes long, over the limit of {PARSE_BYTES_MAX:,}"
    cost = 0
    for run in _OPERATOR_RUN.finditer(text):
        found = run.group()
        cost += found.count("/*") * len(found)
        if cost > COMMENT_RUN_COST_MAX:
            return "the text opens too many comments inside runs of operator characters"
    return _chains(text)


class _Level:
    """What lies between one pair of brackets: how deep its tree can be at most.

    ``chain`` counts the tokens of the current item; a chain such as ``f(1) + g(2)`` lies on top of
    the deepest of the brackets in it, ``inside``. ``best`` is the deepest item so far.
    """

    def __init__(self) -> None:
        self.chain = 0
        self.inside = 0
        self.best = 0

    def next_item(self) -> None:
        """A comma, a semicolon or an OR begins something that lies beside, not on top."""
        self.best = max(self.best, self.chain + self.inside)
        self.chain = 0
        self.inside = 0


def _chains(text: str) -> str:
    """Bound the depth of the tree by counting tokens, without knowing the grammar."""
    chains = _Chains()
    at = 0
    while at < len(text):
        opened = chains.scan(text, at)
        if opened < 0:
            return chains.reason
        at = _comment_end(text, opened)
        if at < 0:
            return f"comments are nested more than {NESTING_DEPTH_MAX} deep"
    return ""


class _Chains:
    """How deep the tree of what was scanned can be, and how many tokens it has.

    Words such as UNION and JOIN, ``stacked``, put trees on top of one another in spite of commas
    between them.
    """

    def __init__(self) -> None:
        self.level = _Level()
        self.open_levels: list[_Level] = []
        self.stacked = 0
        self.tokens = 0
        self.reason = ""

    def scan(self, text: str, start: int) -> int:
        """Count from ``start`` to where a comment opens or the text ends; -1 with a reason."""
        level = self.level
        stacked = self.stacked
        tokens = self.tokens
        at = start
        for match in _TOKEN.finditer(text, start):
            if match.start() != at:
                self.reason = "the text has a form that the reader cannot scan"
                return -1
            at = match.end()
            kind = match.lastgroup
            if kind == "line" or kind == "end":
                continue
            if kind == "open":
                break
            tokens += 1
            if kind == "separator":
                level.next_item()
                continue
            level.chain += 1
            if kind == "stacking":
                stacked += 1
            elif kind == "or":  # the parser makes one flat list of them
                level.next_item()
            elif kind == "enter":
                self.open_levels.append(level)
                level = _Level()
            elif kind == "leave" and self.open_levels:
                level.next_item()
                inside = level.best
                level = self.open_levels.pop()
                level.inside = max(level.inside, inside)
            if level.chain + level.inside + stacked > PARSE_CHAIN_MAX:
                self.reason = (
                    f"a chain of more than {PARSE_CHAIN_MAX:,} tokens nests too deeply to be read"
                )
                return -1
            if tokens > PARSE_TOKENS_MAX:
                self.reason = f"the text has more than {PARSE_TOKENS_MAX:,} tokens"
                return -1
        self.level = level
        self.stacked = stacked
        self.tokens = tokens
        return at


def _comment_end(text: str, at: int) -> int:
    """Where the comment whose opening ends at ``at`` ends; -1 when comments nest too deeply."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return len(text)
        at = edge.end()
        depth += 1 if edge.group() == "/*" else -1
        if depth > NESTING_DEPTH_MAX:
            return -1
    return at
