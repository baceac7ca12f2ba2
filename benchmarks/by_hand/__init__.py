"""Serve what a team writes by hand from Strawberry's documentation: FastAPI, SQLAlchemy's ORM, DataLoaders."""
