"""Carry out what people do to users, memberships, keys and grants, as mutations and as periodic tasks."""
