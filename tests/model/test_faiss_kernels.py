"""FAISS multiplies with kernels for this processor, or for the one that a person names."""

import json
import os
import subprocess
import sys

import pytest

from model import faiss_kernels

PRINTED = (
    "import json, os, threadpoolctl; from model.faiss_kernels import faiss; "
    "found = [each for each in threadpoolctl.threadpool_info() if 'faiss' in each['filepath'] and each['user_api'] == 'blas']; "
    "print(json.dumps([[each.get('architecture') for each in found], os.environ.get('OPENBLAS_CORETYPE')]))"
)


def loaded(**told: str) -> tuple[list[str], str | None]:
    """The kernels of FAISS' OpenBLAS in a fresh process, and what its environment says afterwards."""
    kept = {name: value for name, value in os.environ.items() if name != faiss_kernels.CHOICE}
    out = subprocess.run([sys.executable, "-c", PRINTED], env=kept | told, capture_output=True, text=True, check=True)
    kernels, choice = json.loads(out.stdout)
    if not kernels or faiss_kernels.known() is None:
        pytest.skip("FAISS or NumPy has no OpenBLAS of its own here, or NumPy's is for no processor that both know")
    return kernels, choice


def test_what_numpy_found_is_told() -> None:
    assert loaded() == ([faiss_kernels.known()], None)


def test_a_persons_choice_stays() -> None:
    assert loaded(OPENBLAS_CORETYPE="Nehalem") == (["Nehalem"], "Nehalem")
