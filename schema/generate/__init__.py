"""The types nobody writes by hand: pages, filters, orders, aggregates and groups."""
