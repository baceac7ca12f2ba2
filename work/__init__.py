"""The company's own processes: what is declared in jobs/, started by a person, run here or on another machine."""
