"""The table of definition statements: node type to handler and command tag."""

from __future__ import annotations

from typing import Final

from holdpoint.sql import definitions as d
from holdpoint.sql.walk import Handler

_TABLE: Final[dict[str, tuple[Handler, str]]] = {
    # node type: (handler, command tag; empty where the handler knows it)
    "AlterCollationStmt": (d.define, "ALTER COLLATION"),
    "AlterDatabaseRefreshCollStmt": (d.define, "ALTER DATABASE"),
    "AlterDatabaseSetStmt": (d.default_setting, "ALTER DATABASE"),
    "AlterDatabaseStmt": (d.define, "ALTER DATABASE"),
    "AlterDefaultPrivilegesStmt": (d.privilege, "ALTER DEFAULT PRIVILEGES"),
    "AlterDomainStmt": (d.define, "ALTER DOMAIN"),
    "AlterEnumStmt": (d.define, "ALTER TYPE"),
    "AlterEventTrigStmt": (d.event_trigger, "ALTER EVENT TRIGGER"),
    "AlterFunctionStmt": (d.alter_function, ""),
    "AlterObjectDependsStmt": (d.rename, ""),
    "AlterObjectSchemaStmt": (d.rename, ""),
    "AlterOpFamilyStmt": (d.define, "ALTER OPERATOR FAMILY"),
    "AlterOperatorStmt": (d.define, "ALTER OPERATOR"),
    "AlterOwnerStmt": (d.alter_owner, ""),
    "AlterPolicyStmt": (d.privilege, "ALTER POLICY"),
    "AlterRoleSetStmt": (d.default_setting, "ALTER ROLE"),
    "AlterRoleStmt": (d.privilege, "ALTER ROLE"),
    "AlterSeqStmt": (d.define, "ALTER SEQUENCE"),
    "AlterStatsStmt": (d.define, "ALTER STATISTICS"),
    "AlterTSConfigurationStmt": (d.define, "ALTER TEXT SEARCH CONFIGURATION"),
    "AlterTSDictionaryStmt": (d.define, "ALTER TEXT SEARCH DICTIONARY"),
    "AlterTableMoveAllStmt": (d.define, "ALTER TABLE"),
    "AlterTableStmt": (d.alter_table, ""),
    "AlterTypeStmt": (d.define, "ALTER TYPE"),
    "CommentStmt": (d.comment, "COMMENT"),
    "CompositeTypeStmt": (d.create_table, "CREATE TYPE"),
    "CreateCastStmt": (d.define, "CREATE CAST"),
    "CreateConversionStmt": (d.define, "CREATE CONVERSION"),
    "CreateDomainStmt": (d.define, "CREATE DOMAIN"),
    "CreateEnumStmt": (d.define, "CREATE TYPE"),
    "CreateEventTrigStmt": (d.event_trigger, "CREATE EVENT TRIGGER"),
    "CreateFunctionStmt": (d.create_function, ""),
    "CreateOpClassStmt": (d.define, "CREATE OPERATOR CLASS"),
    "CreateOpFamilyStmt": (d.define, "CREATE OPERATOR FAMILY"),
    "CreatePolicyStmt": (d.privilege, "CREATE POLICY"),
    "CreateRangeStmt": (d.define, "CREATE TYPE"),
    "CreateRoleStmt": (d.privilege, "CREATE ROLE"),
    "CreateSchemaStmt": (d.define, "CREATE SCHEMA"),
    "CreateSeqStmt": (d.create_table, "CREATE SEQUENCE"),
    "CreateStatsStmt": (d.define, "CREATE STATISTICS"),
    "CreateStmt": (d.create_table, "CREATE TABLE"),
    "CreateTableAsStmt": (d.create_as, ""),
    "CreateTrigStmt": (d.define, "CREATE TRIGGER"),
    "CreatedbStmt": (d.define, "CREATE DATABASE"),
    "DefineStmt": (d.define, ""),
    "DropOwnedStmt": (d.drop_role, "DROP OWNED"),
    "DropRoleStmt": (d.drop_role, "DROP ROLE"),
    "DropStmt": (d.drop, ""),
    "DropdbStmt": (d.drop_database, "DROP DATABASE"),
    "GrantRoleStmt": (d.privilege, ""),
    "GrantStmt": (d.privilege, ""),
    "IndexStmt": (d.create_index, "CREATE INDEX"),
    "ReassignOwnedStmt": (d.privilege, "REASSIGN OWNED"),
    "RenameStmt": (d.rename, ""),
    "RuleStmt": (d.define, "CREATE RULE"),
    "SecLabelStmt": (d.privilege, "SECURITY LABEL"),
    "ViewStmt": (d.create_table, "CREATE VIEW"),
}

HANDLERS: Final[dict[str, Handler]] = {key: entry[0] for key, entry in _TABLE.items()}
"""Node types of definitions to their handlers."""

TAGS: Final[dict[str, str]] = {key: entry[1] for key, entry in _TABLE.items() if entry[1]}
"""Command tags that the node type alone decides."""
