"""Types of the benchmarks' arguments: what cannot be used is answered with one sentence."""

import argparse
from collections.abc import Callable
from pathlib import Path


def whole_number(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """A whole number within limits."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            limits = f"at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {limits}, not {value}")
        return value

    return number


def existing_path(text: str) -> Path:
    """A file or folder that is there."""
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text}: no such file or folder")
    return Path(text)
