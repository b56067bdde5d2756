"""The numbers that commands are given: argparse types, which refuse with a sentence."""

from argparse import ArgumentTypeError

CENTURY = 36_500  # days
YEAR = 31_536_000  # seconds


def days(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if 1 <= number <= CENTURY:
        return number
    raise ArgumentTypeError(f"“{text}” is no number of days: they are 1 to {CENTURY}.")


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if 0 <= number <= YEAR:  # neither is true of nan
        return number
    raise ArgumentTypeError(f"“{text}” is no number of seconds: they are 0 to {YEAR}.")
