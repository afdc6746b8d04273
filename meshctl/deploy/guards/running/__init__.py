"""What is up stays as it came up, where a newer meshctl or an edit elsewhere would decide otherwise."""
