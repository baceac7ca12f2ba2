"""An OpenAPI description in, what its API has out: collections as tables, and how each is asked for."""
