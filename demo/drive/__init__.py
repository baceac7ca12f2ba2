"""A server that speaks Google Drive's API as Google's own discovery document declares it, over the company's files."""
