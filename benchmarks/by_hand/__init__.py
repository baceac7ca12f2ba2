"""What a team writes by hand as Strawberry's documentation shows: FastAPI, SQLAlchemy's ORM, DataLoaders, caches on."""
