"""Compiled functions: without a place for a cache they compile all the same."""

from typing import Any

from starsift.kernels import njit


def test_a_function_without_a_place_for_its_cache_is_compiled() -> None:
    names: dict[str, Any] = {}
    exec("def double(number): return 2 * number", names)  # in no file: Numba has no place for its cache
    assert njit(cache=True, nogil=True)(names["double"])(3) == 6
