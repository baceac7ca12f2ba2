"""Another GraphQL service as a source: what it has, and how it is asked, is declared as plain data."""
