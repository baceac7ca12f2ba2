"""Open and read the metadata database: users, keys, events, jobs and the ledger of changes."""
