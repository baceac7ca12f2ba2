"""Change the code that decides who may see what, one spot at a time, and see that a test fails: `make mutation`."""
