"""Bring your own tables: described tables in, the files of schema/ and resolvers/ out, as a person would write them."""
