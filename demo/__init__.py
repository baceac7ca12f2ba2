"""Make up a company, Acme Inc., and serve it over the vendors' own wire protocols."""
