"""The pages a browser gets: GraphiQL, served from our own files."""
