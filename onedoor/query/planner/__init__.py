"""Plan a query: logical and physical scans, push-down, cost, explain."""
