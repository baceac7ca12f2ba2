"""JSON over HTTP as a source: what an API has, and how it is asked, is declared as plain data."""
