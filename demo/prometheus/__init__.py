"""A server that answers Prometheus's HTTP API, over series that are functions of time: a small part of PromQL."""
