"""Run Snowflake in memory: fakesnow, with the log-in that it lacks, in an environment of its own."""
