"""The office team's own service: offices, desks and who is on call, as GraphQL."""
