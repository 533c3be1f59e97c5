"""What all tests share."""

from hypothesis import settings

# Compilation and other jobs of the machine make the first example slow.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
