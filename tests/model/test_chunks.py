"""Pieces cover all rows once, with one thread and with several, and an error in one of them comes back."""

import faiss
import numpy as np
import pytest

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
