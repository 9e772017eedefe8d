"""Worker processes: candidates are measured where they can die alone."""
