"""Pieces cover all rows once, with one thread and with several, and an error in one of them comes back."""

import faiss
import numpy as np
import pytest
import threadpoolctl

from model import chunks


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("rows", "width"), [(0, 5), (1, 10**7), (1001, 9)])
def test_every_row_is_worked_on_once(threads: int, rows: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "VALUES", 100)
    monkeypatch.setattr(faiss, "omp_get_max_threads", lambda: threads)
    seen = np.zeros(rows, dtype=int)

    def work(piece: slice) -> None:
        assert (piece.stop - piece.start) * width <= max(100, width)
        seen[piece] += 1

    chunks.each(work, rows, width)
    assert (seen == 1).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_piece_comes_back(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "VALUES", 10)
    monkeypatch.setattr(faiss, "omp_get_max_threads", lambda: threads)

    def work(piece: slice) -> None:
        if piece.start == 50:
            raise ValueError("at fifty")

    with pytest.raises(ValueError, match="at fifty"):
        chunks.each(work, 100, 1)


def test_matrix_products_take_one_thread_while_pieces_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "VALUES", 10)
    monkeypatch.setattr(faiss, "omp_get_max_threads", lambda: 2)

    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}

    def fails(piece: slice) -> None:
        raise ValueError("in the middle of another one")

    def work(piece: slice) -> None:
        inside.append(threads())
        with pytest.raises(ValueError, match="another one"):
            chunks.each(fails, 40, 1)  # ends before the one around it

    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        inside: list[set[int]] = []
        chunks.each(work, 80, 1)
        assert inside == [{1}] * 8
        assert threads() == {3}
