"""Jobs (training and batch) beyond what Pulumi knows of them: ended, gone, or to be run again."""
