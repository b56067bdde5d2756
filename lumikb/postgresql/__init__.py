"""The ENGINE of our DATABASES."""
