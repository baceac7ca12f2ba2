"""Who listens: questions that are answered each time something happens."""
