"""Chunks of a batch on several threads."""

import threading

import pytest

from starsift.parallel import map_chunks, thread_count


def test_threads_are_those_that_the_environment_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, counts in (("3", [3]), ("0", [1]), ("many", range(1, 10_000))):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert thread_count() in counts


@pytest.mark.parametrize("threads", ["1", "3"])
def test_chunks_come_back_in_order(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert map_chunks(lambda part: (part.start, part.stop), 10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert map_chunks(lambda part: part, 0, 4) == []


def test_work_within_work_stays_on_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here = threading.get_ident()

    def work(part: slice) -> set[int]:
        inner = set(map_chunks(lambda _: threading.get_ident(), 6, 1))
        assert inner == {threading.get_ident()}
        return inner

    assert here not in set().union(*map_chunks(work, 4, 1))
    assert set().union(*map_chunks(work, 1, 1)) == {here}
    assert map_chunks(lambda _: threading.get_ident(), 4, 1, serial=True) == [here] * 4


def test_an_error_of_a_chunk_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        map_chunks(lambda part: 1 // part.start, 4, 1)
