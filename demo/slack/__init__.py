"""A server that speaks Slack's Web API, as the official SDK expects it, over the company's own talk."""
