"""Generate the types that follow from a company's own."""
