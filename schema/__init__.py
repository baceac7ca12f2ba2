"""What can be asked: one file per subject, and the build that makes them one schema."""
