"""The files of a run."""

REPORT = "report.html"  # the report, in the folder of its run
