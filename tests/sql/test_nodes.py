"""Every node type of the grammar has been thought about: handled, or never in a raw tree."""

from __future__ import annotations

from postgast import pg_query_pb2

from holdpoint.model.effects import Effect
from holdpoint.sql import read, reader
from holdpoint.sql.walk import DISPATCH, TAGS, Node, Walk


def _names(words: str) -> set[str]:
    return set(words.split())


# Made by the server after parsing, or wrapped by their parents; a raw tree that had one would be
# unknown.
NEVER_IN_A_RAW_TREE = _names(
    """
    TableFunc IntoClause Var Param Aggref WindowFunc WindowFuncRunCondition SubscriptingRef FuncExpr
    OpExpr DistinctExpr NullIfExpr ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect
    FieldStore RelabelType CoerceViaIO ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseTestExpr
    ArrayExpr RowCompareExpr JsonFormat JsonReturning JsonConstructorExpr JsonExpr JsonTablePath
    JsonTablePathScan JsonTableSiblingJoin MergeAction CoerceToDomain CoerceToDomainValue
    NextValueExpr InferenceElem ReturningExpr TargetEntry RangeTblRef FromExpr OnConflictExpr Query
    RangeTblEntry RTEPermissionInfo RangeTblFunction TableSampleClause WithCheckOption
    SortGroupClause WindowClause RowMarkClause WithClause RawStmt SetOperationStmt PLAssignStmt
    InlineCodeBlock CallContext IntList OidList
    """
)
# Only in the body of CREATE FUNCTION, which is not walked because it does not run.
IN_BODIES = {"ReturnStmt"}
# Statements whose command tag depends on more than their type.
TAGGED_BY_HANDLER = _names(
    """
    AlterFunctionStmt AlterObjectDependsStmt AlterObjectSchemaStmt AlterOwnerStmt AlterTableStmt
    CreateFunctionStmt CreateTableAsStmt DeallocateStmt DefineStmt DiscardStmt DropStmt FetchStmt
    GrantRoleStmt GrantStmt RenameStmt ReplicaIdentityStmt TransactionStmt VacuumStmt
    VariableSetStmt
    """
)


def node_types() -> set[str]:
    message = pg_query_pb2.DESCRIPTOR.message_types_by_name["Node"]
    return {field.message_type.name for field in message.oneofs[0].fields}


def test_every_node_type_of_the_grammar_is_classified() -> None:
    assert reader.read("SELECT 1").problem is None  # the handlers are in place
    handled = {key for key in DISPATCH if key[0].isupper()}
    assert handled | NEVER_IN_A_RAW_TREE | IN_BODIES == node_types()
    assert not handled & (NEVER_IN_A_RAW_TREE | IN_BODIES)


def test_every_statement_has_a_command_tag() -> None:
    statements = {name for name in DISPATCH if name.endswith("Stmt")}
    assert statements - set(TAGS) == TAGGED_BY_HANDLER


def test_a_node_nobody_knows_makes_the_statement_unknown() -> None:
    walk = Walk({}, {})
    tree: Node = {"SelectStmt": {"targetList": [{"ResTarget": {"val": {"NewNode": {"a": 1}}}}]}}
    walk.begin(tree, "SELECT new thing")
    walk.run()
    statement = walk.statement()
    assert Effect.UNKNOWN in statement.effects
    assert "NewNode" in statement.unknowns[0]


def test_a_field_nobody_knows_is_walked() -> None:
    walk = Walk({}, {})
    call: Node = {"FuncCall": {"funcname": [{"String": {"sval": "pg_sleep"}}]}}
    walk.begin({"SelectStmt": {"targetList": [{"ResTarget": {"newField": call}}]}}, "")
    walk.run()
    assert Effect.EXHAUSTION in walk.statement().effects


def test_tags_follow_the_server() -> None:
    pairs = {
        "SELECT 1": "SELECT",
        "SELECT 1 INTO t": "SELECT INTO",
        "CREATE TABLE t AS SELECT 1": "CREATE TABLE AS",
        "CREATE MATERIALIZED VIEW v AS SELECT 1": "CREATE MATERIALIZED VIEW",
        "DROP MATERIALIZED VIEW v": "DROP MATERIALIZED VIEW",
        "DROP FOREIGN TABLE f": "DROP FOREIGN TABLE",
        "ALTER TABLE t RENAME COLUMN a TO b": "ALTER TABLE",
        "ALTER VIEW v RENAME TO w": "ALTER VIEW",
        "ALTER INDEX i RENAME TO j": "ALTER INDEX",
        "ALTER FUNCTION f() OWNER TO x": "ALTER FUNCTION",
        "GRANT a TO b": "GRANT ROLE",
        "REVOKE SELECT ON t FROM x": "REVOKE",
        "VACUUM t": "VACUUM",
        "ANALYZE t": "ANALYZE",
        "FETCH c": "FETCH",
        "MOVE c": "MOVE",
        "RESET ALL": "RESET",
        "SET a = 1": "SET",
        "DISCARD TEMP": "DISCARD TEMP",
        "DEALLOCATE ALL": "DEALLOCATE ALL",
        "CREATE AGGREGATE a (int) (sfunc = f, stype = int)": "CREATE AGGREGATE",
        "CREATE TEXT SEARCH DICTIONARY d (template = x)": "CREATE TEXT SEARCH DICTIONARY",
        "CREATE SCHEMA s GRANT SELECT ON t TO x": "CREATE SCHEMA",
        "PREPARE TRANSACTION 'x'": "PREPARE TRANSACTION",
    }
    assert {text: read(text).statements[0].tag for text in pairs} == pairs
