"""A server that speaks the part of GitHub's REST API that tells of deployments, and Acme's repositories behind it."""
