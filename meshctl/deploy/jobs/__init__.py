"""What Pulumi doesn't know about jobs (training and batch): which have ended, are gone, or are to be run again."""
