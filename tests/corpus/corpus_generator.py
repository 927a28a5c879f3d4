"""Statements by hypothesis, over the corpus's schema: what sqlsmith would send.

Most are valid: columns are taken from the tables in scope and types are kept apart. Everything that
can set something off is in it: user functions, views, triggers, rules, domains, column notation,
data-modifying CTEs at any depth, EXPLAIN, COPY, DO.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True)
class Table:
    """A relation, with columns of numbers and of text."""

    name: str
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()


READ_FROM = (
    Table("customers", ("id", "balance"), ("email", "name", "note")),
    Table("orders", ("id", "customer_id", "total")),
    Table("order_items", ("order_id", "line", "product_id")),
    Table("products", ("id", "price"), ("sku", "name")),
    Table("tree", ("id", "parent_id"), ("label",)),
    Table("archive", ("id",), ("body",)),
    Table("events", ("id",), ("what",)),
    Table("places", ("id",), ("name",)),
    Table("app.orders", ("id",), ("what",)),
    Table('"drop"', ('"delete"',), ('"truncate"',)),
    Table("v_orders", ("id", "total")),
    Table("v_over", ("customer_id", "total")),
    Table("v_plain_calls", ("id", "total")),
    Table("m_totals", ("customer_id", "total")),
    Table("documents", ("id",), ("owner", "body")),
    Table("v_calls", ("id", "written")),
    Table("v_filter_calls", ("id",)),
    Table("watched", ("id",), ("body",)),
    Table("v_constant", ("x",)),
    Table("p_events", ("id",), ("what",)),
    Table("c_parent", ("id",), ("what",)),
)
WRITTEN = (
    Table("archive", ("id",), ("body",)),
    Table("queue", ("id",)),
    Table("t_audited", ("id",), ("what",)),
    Table("t_wiping", ("id",), ("what",)),
    Table("t_stamping", ("id",), ("what",)),
    Table("t_disabled", ("id",), ("what",)),
    Table("r_instead", ("id",), ("what",)),
    Table("with_domain", ("id", "n")),
    Table("with_index", ("id", "n")),
    Table("v_customers", ("id",), ("email", "name")),
    Table("v_rule", ("id",), ("body",)),
    Table("v_instead", ("id",), ("body",)),
    Table("documents", ("id",), ("owner", "body")),
    Table("p_events", ("id",), ("what",)),
    Table("c_parent", ("id",), ("what",)),
    Table("with_default", ("id", "n")),
    Table("v_default", ("id",), ("body",)),
    Table("checked_documents", ("id",)),
)
# What joins a FROM by itself.
CALLS = (
    "plain_table(3)",
    "plain_begin_atomic(2)",
    "plain_shape(4)",
    "evil_in_query()",
    "evil_default(1)",
    "LATERAL generate_series(1, 2)",
    "jsonb_populate_record(NULL::archive, '{\"id\": 1}')",
    'jsonb_populate_record(NULL::with_domain, \'{"id": 1, "n": 2}\')',
    "ROWS FROM (plain_atomic(1), generate_series(1, 2))",
    "unnest(ARRAY[1, 2])",
)
# Functions of one number; half of them only read.
OF_A_NUMBER = (
    "abs({})",
    "mod({}::integer, 7)",
    "coalesce({}, 1)",
    "plain_total({}::integer)",
    "plain_loop({}::integer)",
    "plain_atomic({}::integer)",
    "public.plain_recursive(least({}::integer, 5))",
    "plain_catches({}::integer)",
    "plain_polymorphic({})",
    "evil_write({}::integer)",
    "evil_deep({}::integer)",
    "evil_immutable({}::integer)",
    "evil_default({}::integer)",
    "({}::integer)::evil_domain",
    "(({}::integer).plain_atomic)",
    "(({}::integer).evil_write)",
    "nextval('tickets') + {}",
    "(plain_cents(ROW({}::integer)::coin))",
    "round({}, 1)",
    "greatest({}, 3)",
    "length(({})::text)",
    "CASE WHEN {} > 3 THEN 1 ELSE evil_write() END",
    "(SELECT plain_sum(s.id) FROM archive AS s WHERE s.id > {})",
    "(SELECT evil_sum(s.id) FROM archive AS s WHERE s.id > {})",
    "(SELECT plain_of_row(s)::text = 'x' FROM customers AS s WHERE s.id = {} LIMIT 1)::integer",
    "(SELECT length(s.plain_of_row) FROM customers AS s WHERE s.id = {} LIMIT 1)",
    "(SELECT s.evil_of_row FROM customers AS s WHERE s.id = {} LIMIT 1)",
    "(SELECT max(w) FROM (SELECT sum(s.id) OVER (ORDER BY s.id) AS w FROM queue AS s) AS t) + {}",
    "(WITH w AS (SELECT {} AS x) SELECT max(x) FROM w)",
    "(ARRAY[{}, 2])[1]",
    "least({}, evil_view())",
)
OF_A_TEXT = (
    "upper({})",
    "md5({})",
    "coalesce({}, 'DELETE FROM archive')",
    "replace({}, 'a', 'b')",
    "left({}, 3)",
    "plain_default(2, {})",
    "format('DROP TABLE %I', {})",
    "{} || 'x'",
    "current_setting('application_name', true) || {}",
    "set_config('app.name', {}, true)",
)
PLAIN_NUMBERS = OF_A_NUMBER[:9]
SETTINGS = ("", "", "", "EXPLAIN ", "EXPLAIN (COSTS off) ", "EXPLAIN ANALYZE ")


@st.composite
def number(draw: st.DrawFn, scope: tuple[tuple[str, Table], ...], depth: int = 2) -> str:
    """An expression of a number."""
    kind = draw(st.integers(0, 9))
    columns = [f"{alias}.{name}" for alias, table in scope for name in table.numbers]
    if depth == 0 or kind < 4 or not columns:
        return draw(st.sampled_from([*columns, "1", "2", "7"]))
    if kind < 6:
        sign = draw(st.sampled_from(["+", "-", "*"]))
        return f"({draw(number(scope, depth - 1))} {sign} {draw(number(scope, depth - 1))})"
    if kind == 6:
        return f"(SELECT max(s.c1) FROM ({draw(query(depth - 1))}) AS s)"
    calls = OF_A_NUMBER if draw(st.integers(0, 3)) == 0 else PLAIN_NUMBERS
    return draw(st.sampled_from(calls)).format(draw(number(scope, depth - 1)))


@st.composite
def text(draw: st.DrawFn, scope: tuple[tuple[str, Table], ...], depth: int = 2) -> str:
    """An expression of text."""
    columns = [f"{alias}.{name}" for alias, table in scope for name in table.texts]
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from([*columns, "'x'::text", "'; DROP TABLE orders; --'::text"]))
    return draw(st.sampled_from(OF_A_TEXT)).format(draw(text(scope, depth - 1)))


@st.composite
def condition(draw: st.DrawFn, scope: tuple[tuple[str, Table], ...], depth: int = 2) -> str:
    """An expression of true and false."""
    kind = draw(st.integers(0, 8))
    if depth == 0 or kind < 4:
        sign = draw(st.sampled_from(["=", "<", ">=", "<>", "IS DISTINCT FROM"]))
        return f"{draw(number(scope, depth))} {sign} {draw(number(scope, 0))}"
    if kind == 4:
        word = draw(st.sampled_from(["AND", "OR"]))
        return f"({draw(condition(scope, depth - 1))} {word} {draw(condition(scope, depth - 1))})"
    if kind == 5:
        return f"NOT ({draw(condition(scope, depth - 1))})"
    if kind == 6:
        return f"{draw(text(scope, depth))} LIKE '%a%'"
    if kind == 7:
        return f"EXISTS ({draw(query(depth - 1))})"
    return f"{draw(number(scope, 0))} IN (SELECT s.c1 FROM ({draw(query(depth - 1))}) AS s)"


@st.composite
def source(draw: st.DrawFn, alias: str, depth: int) -> tuple[str, Table]:
    """One item of FROM, and the table it is to the rest of the query."""
    kind = draw(st.integers(0, 9))
    if depth > 0 and kind == 0:
        return f"({draw(query(depth - 1))}) AS {alias}", Table(alias, ("c1",), ("c2",))
    if kind == 1:
        return f"generate_series(1, 3) AS {alias}(n)", Table(alias, ("n",))
    if kind == 2:
        call = draw(st.sampled_from(CALLS))
        return f"{call} AS {alias}(n)", Table(alias, ("n",))
    table = draw(st.sampled_from(READ_FROM))
    return f"{table.name} AS {alias}", table


@st.composite
def query(draw: st.DrawFn, depth: int = 2) -> str:
    """A SELECT of two columns, ``c1`` a number and ``c2`` text; maybe a set operation of two."""
    prefix = f"q{depth}"
    first, table = draw(source(f"{prefix}a", depth))
    scope: tuple[tuple[str, Table], ...] = ((f"{prefix}a", table),)
    joined = first
    if depth > 0 and draw(st.integers(0, 2)) == 0:
        second, other = draw(source(f"{prefix}b", depth - 1))
        scope = (*scope, (f"{prefix}b", other))
        kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "FULL JOIN"]))
        joined = f"{first} {kind} {second} ON {prefix}a.{table.numbers[0]} = "
        joined += f"{prefix}b.{other.numbers[0]}"
    parts = [f"SELECT {draw(number(scope, depth))} AS c1, {draw(text(scope, depth))} AS c2"]
    parts.append(f"FROM {joined}")
    if draw(st.booleans()):
        parts.append(f"WHERE {draw(condition(scope, depth))}")
    ends = ["", "", "LIMIT 5", "ORDER BY 1 LIMIT 3", "OFFSET 1"]
    parts.append(draw(st.sampled_from(ends)))
    made = " ".join(parts).strip()
    if depth > 0 and draw(st.integers(0, 4)) == 0:
        sign = draw(st.sampled_from(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]))
        made = f"({made}) {sign} ({draw(query(depth - 1))})"
    return made


@st.composite
def write(draw: st.DrawFn) -> str:
    """An INSERT, UPDATE, DELETE or MERGE."""
    table = draw(st.sampled_from(WRITTEN))
    scope = ((table.name, table),)
    kind = draw(st.integers(0, 4))
    where = f" WHERE {draw(condition(scope, 1))}" if draw(st.integers(0, 3)) else ""
    if kind == 0:
        given = draw(st.integers(2000, 9000))
        made = f"INSERT INTO {table.name} ({table.numbers[0]}) VALUES ({given})"
        where = draw(st.sampled_from(["", " ON CONFLICT DO NOTHING"]))
    elif kind == 4:
        key = table.numbers[0]
        then = draw(st.sampled_from(["DELETE", "DO NOTHING", f"UPDATE SET {key} = s.x"]))
        made = f"MERGE INTO {table.name} AS t USING (SELECT 1 AS x) AS s ON t.{key} = s.x "
        return f"{made}WHEN MATCHED THEN {then}"
    elif kind == 1:
        made = f"DELETE FROM {table.name}"
    elif kind == 2 and table.texts:
        made = f"UPDATE {table.name} SET {table.texts[0]} = {draw(text(scope, 1))}"
    else:
        name = table.numbers[-1]
        made = f"UPDATE {table.name} SET {name} = {name}"
    back = f" RETURNING {table.numbers[0]}" if draw(st.booleans()) else ""
    return made + where + back


@st.composite
def statement(draw: st.DrawFn) -> str:
    """Any statement: reads mostly, with something in them now and then."""
    kind = draw(st.integers(0, 11))
    if kind < 6:
        return draw(st.sampled_from(SETTINGS)) + draw(query())
    if kind == 6:
        return draw(st.sampled_from(SETTINGS)) + draw(write())
    if kind == 7:
        return f"WITH w AS ({draw(query(1))}) SELECT count(*) FROM w"
    if kind == 8:
        inner = draw(write().filter(lambda made: not made.startswith("MERGE")))  # since 17
        return f"WITH w AS ({inner}), r AS ({draw(query(0))}) SELECT c1 FROM r"
    if kind == 9:
        return f"COPY ({draw(query(1))}) TO STDOUT"
    if kind == 10:
        return f"DO $body$ BEGIN PERFORM c1 FROM ({draw(query(1))}) AS s; END $body$"
    return f"DECLARE c CURSOR FOR {draw(query(1))}; FETCH ALL FROM c"
