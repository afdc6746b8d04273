"""The command line: typer commands that parse, call one list of steps, and map errors to exit codes. No logic."""
