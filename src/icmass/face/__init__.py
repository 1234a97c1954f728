"""What `icmass` offers to Python, one function for each command; the command line calls these."""
