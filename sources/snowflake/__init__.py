"""Snowflake as a source: reflected tables, pushed-down SQL with bound values only."""
