"""The public interface: what `import starsift` offers, and what it does not import."""

import ast
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from fixtures.backends import run_python
from fixtures.checkouts import ROOT
from fixtures.survey_files import ARRAYS, mrs_name, mrs_table, real, write_mrs

import starsift
from starsift.api import MODULES, PUBLIC

PAGE = (ROOT / "docs/api.md").read_text()


def test_import_is_quick_and_imports_little() -> None:
    script = "import sys, starsift; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(run_python("-c", script, PYTHONPATH=str(ROOT / "src")).stdout.split())
    assert "starsift" in imported
    large = {"numpy", "pyarrow", "scipy", "astropy", "numba", "keras", "tensorflow", "snakemake"}
    assert not imported & large
    times = run_python("-X", "importtime", "-c", "import starsift", PYTHONPATH=str(ROOT / "src")).stderr
    microseconds = int(next(line for line in times.splitlines() if line.endswith(" starsift")).split("|")[1])
    assert microseconds < 300_000


def test_no_public_name_needs_tensorflow() -> None:
    script = (
        "import sys, starsift, starsift.api as a; [getattr(starsift, name) for name in a.PUBLIC]; "
        "print({'keras', 'tensorflow', 'torch', 'jax', 'snakemake'} & set(sys.modules))"
    )
    done = run_python("-c", script, PYTHONPATH=str(ROOT / "src"))
    assert done.stdout == "set()\n", done.stderr


def test_each_public_name_is_there_and_documented() -> None:
    names: dict[str, object] = {}
    exec("from starsift import *", names)
    for name in PUBLIC:
        assert names[name] is getattr(starsift, name)
        assert name in dir(starsift)
        assert re.search(rf"`{name}[`(]", PAGE), f"docs/api.md: {name}"
    with pytest.raises(AttributeError, match="module 'starsift' has no attribute 'read_spectrum'"):
        starsift.read_spectrum  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "src/starsift/__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {node.names[0].asname: node.module for node in imports} == MODULES


@pytest.mark.parametrize("kind", ["mrs", "lrs"])
def test_examples_of_the_page_run_on_real_spectra(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spectra").symlink_to(real(f"lamost-{kind}-dr7"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if kind == "mrs" or "good.take" not in block:  # which is of the blue arm
            exec(compile(block, "docs/api.md", "exec"), names)
    batch = names["good"]
    assert isinstance(batch, starsift.SpectrumBatch)
    assert batch.n >= 20
    if kind == "mrs":
        assert np.isfinite(names["components"].rv[:, 0]).mean() > 0.5
    else:
        assert np.isfinite(names["tio5"]).mean() > 0.9


def test_every_layout_is_read() -> None:
    lamost = ("lamost-mrs-dr7", "lamost-lrs-dr1", "lamost-lrs-dr7", "lamost-lrs-dr10")
    for name in (*lamost, "sdss-spec", "ondrejov-lamost/ondrejov"):
        batch = starsift.read_spectra(real(name))
        assert batch.n > 0
        assert batch.ok.all(), name
        assert (np.diff(batch.wavelength, axis=1) > 0).all()
        assert (batch.mask == 0).any(axis=1).all()


def test_spectra_that_cannot_be_read_keep_a_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two exposures one has no flux; one file is text, one is not there, one is an image."""
    good = tmp_path / mrs_name()
    zero = mrs_table("B-84420171", ARRAYS, FLUX=np.zeros(300, np.float32))
    write_mrs(good, [mrs_table("COADD_B", ARRAYS), zero])
    (tmp_path / "text.fits").write_text("no such page")
    fits.PrimaryHDU(np.ones((64, 64))).writeto(tmp_path / "image.fits")
    files = [tmp_path / "absent.fits", good, tmp_path / "image.fits", tmp_path / "text.fits"]
    with caplog.at_level(logging.WARNING):
        batch = starsift.read_spectra(files)
    rows = batch.identity.select(["spectrum_id", "band", "planid", "status"]).to_pylist()
    stem = good.name.removesuffix(".fits.gz")
    assert [tuple(row.values()) for row in rows] == [
        ("absent", None, None, "missing_file"),
        (stem, "B", "HD1", "ok"),
        (f"{stem}/84420171", "B", "HD1", "zero_flux"),
        ("image", None, None, "not_a_spectrum"),
        ("text", None, None, "not_fits"),
    ]
    assert batch.ok.tolist() == [False, True, False, False, False]
    assert len(caplog.messages) == 4
    assert all(str(tmp_path) in message for message in caplog.messages)
    # A folder stands for its files.
    assert starsift.read_spectra(tmp_path).n == 4
    assert starsift.read_spectra(str(good)).n == 2


def test_no_file_and_an_empty_folder(tmp_path: Path) -> None:
    assert starsift.read_spectra([]).n == 0
    with pytest.raises(starsift.InputError, match="no FITS file is in this folder"):
        starsift.read_spectra(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"velocity_step": 0}, "binaries.ccf.velocity_step must be more than 0, not 0"),
        ({"velocity_max": -10}, "binaries.ccf.velocity_max must be more than 0, not -10"),
        ({"wavelength_range": (6800, 6400)}, "binaries.ccf.wavelength_range must ascend, not 6800"),
        ({"velocity_stpe": 1}, "binaries.ccf.velocity_stpe is not a setting; did you mean velocity_step?"),
        ({"wavelength_range": (1000, 1100)}, "templates cover "),
    ],
)
def test_a_bank_has_the_limits_of_the_settings(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(starsift.SettingsError, match=re.escape(sentence)):
        starsift.build_bank(starsift.load_grid(), **change)


def test_components_of_one_curve_and_of_lists() -> None:
    velocities = np.arange(-300.0, 301.0, 5.0)
    curve = np.exp(-0.5 * ((velocities - 20) / 15) ** 2)
    expected = starsift.find_components(curve[None], velocities)
    assert expected.rv[0, 0] == pytest.approx(20, abs=1)
    for ccf in (curve, [list(curve)]):
        np.testing.assert_array_equal(starsift.find_components(ccf, list(velocities)).rv, expected.rv)
    with pytest.raises(starsift.InputError, match=r"CCFs are \(1, 120\), velocities \(121,\)"):
        starsift.find_components(curve[1:], velocities)


def test_a_table_has_units_and_exact_identifiers(tmp_path: Path) -> None:
    path = tmp_path / "stars.ecsv"
    path.write_text(
        "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: gaia_source_id, datatype: int64}\n"
        "# - {name: ra, unit: deg, datatype: float64}\n# - {name: note, datatype: string}\n"
        "gaia_source_id,ra,note\n2125971226269667584,290.5,\n,291.5,\n"
    )
    table = starsift.read_table(path)
    assert table["gaia_source_id"][0] == 2125971226269667584
    assert table["gaia_source_id"].mask.tolist() == [False, True]
    assert table["ra"].unit == "deg"
    assert table["note"].mask.all()
