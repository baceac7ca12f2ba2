"""Uses all the CPU it is given."""

while True:
    pass
