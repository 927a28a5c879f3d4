"""One danger a statement can carry per file: one code, one page, one set of examples."""
