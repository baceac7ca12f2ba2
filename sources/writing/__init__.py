"""How a file of any store is put, copied and deleted: what is refused before a call, and what each store does of it."""
