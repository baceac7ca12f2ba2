"""Complete rows into response data and errors."""
