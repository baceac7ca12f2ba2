"""A server that speaks Datadog's API, as its official client expects it, over what watches the company."""
