"""Headers of classic NetCDF files, written by scipy, and of damaged ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from farlab_real import climate
from farlab_server_ext.datalake.netcdf_header import is_classic, lines_of
from scipy.io import netcdf_file


def written(version: int) -> bytes:
    out = io.BytesIO()
    file = netcdf_file(out, "w", version=version)
    file.title = "a title"
    file.numbers = np.arange(30, dtype="int32")
    file.createDimension("time", None)
    file.createDimension("x", 3)
    file.createVariable("t", "f8", ("time", "x"))[:] = np.ones((4, 3))
    file.createVariable("one", "i2", ())
    file.flush()
    return out.getvalue()


@pytest.mark.parametrize("version", [1, 2])
def test_it_is_told_in_lines(version: int) -> None:
    data = written(version)
    assert is_classic(data)
    lines = [*lines_of(data)]
    assert "title = a title" in lines
    assert any(line.startswith("numbers = 0, 1, 2") and line.endswith("19") for line in lines)
    assert lines[-2:] == ["t: float64, time 4, x 3", "one: int16, one value"]


def test_the_tutorials_files_have_one() -> None:
    data = climate.field(2024).to_netcdf(engine="scipy")
    lines = [*lines_of(bytes(data)[:4096])]
    assert "title = A made-up climate: 2024" in lines
    assert "t2m: float32, month 12, lat 36, lon 72" in lines


def test_damage_ends_it() -> None:
    data = written(1)
    whole = [*lines_of(data)]
    for size in range(4, 400):
        some = [*lines_of(data[:size])]
        assert some == whole[: len(some)]
    assert not is_classic(b"CDF\x07")
    assert [*lines_of(b"CDF\x01" + b"\xff" * 100)] == []
