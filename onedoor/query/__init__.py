"""Answer one request: parse, select, authorize, plan, execute, complete."""
