"""Deliberate breakages of the product, each of which must turn the suite red: `make mutants`."""
