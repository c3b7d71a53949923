"""What a report of runs is made of; ddmlp.report writes one."""
