"""What a run leaves on disk."""

REPORT = "report.html"  # in the folder of a run: a page about it
