"""A plan and this request's values in, rows out."""
