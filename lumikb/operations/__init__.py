"""The operators' front page: is all well, what failed and why, and who is at work."""
