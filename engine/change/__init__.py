"""How something is changed: what a source is told, and what is kept of it whatever happens."""
