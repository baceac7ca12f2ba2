"""Say where the values of each type come from: one file a subject, named as in schema/."""
