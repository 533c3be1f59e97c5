"""Errors that a user can correct, all of one base class.

A message begins with the thing (a file and row, a setting, a search), says what is wrong with it and what was
expected, and ends with what to do.
"""


class StarsiftError(Exception):
    """Base class of all errors that starsift raises on purpose."""


class InputError(StarsiftError, ValueError):
    """A file, table, row, column or array from outside that cannot be used."""


class SpectrumError(InputError):
    """A spectrum or an image that cannot be used; the others of its survey can.

    `status` is one word for tables and counts, such as ``missing_file``.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class SettingsError(StarsiftError, ValueError):
    """A setting that cannot be used; the message names its key."""


class ResultsError(StarsiftError, ValueError):
    """Results of a run that are damaged, incomplete, or do not belong together."""


class TrainingError(StarsiftError, ValueError):
    """A training set or a model that nothing can be learned from or with."""


class NotFoundError(StarsiftError, KeyError):
    """A name for which nothing exists."""


class ReadOnlyError(StarsiftError, PermissionError):
    """A label store that may not be written."""


class SampError(StarsiftError, RuntimeError):
    """Another application that cannot be reached, or that refuses."""
