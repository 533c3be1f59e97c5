"""How long the review app takes to the next spectrum, in Chromium, and whether its memory stays flat.

    python benchmarks/review_latency.py [--candidates 100000] [--items 500]

Builds a queue of that many candidates of binaries and of emission-line stars in a temporary folder
(2 000 of them packed, in the middle of the queue: spectra of 4 136 pixels, for binaries with their CCFs),
starts `starsift review` on it and labels by keyboard. Latency is from the keydown event to the frame after
the one in which all plots of the next spectrum are painted; the label is on its way to the disk meanwhile.
Prints Markdown tables: with a key as soon as the page has drawn, and at the pace of a quick person. Needs
Chromium and Playwright.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from starsift.io.parquet import write_parquet
from starsift.searches.binaries.curves import write_curves
from starsift.spectra.batches import SpectrumBatch, write_bundle, write_index
from starsift.spectra.ccf import CCFs

PACKED = 2000
PIXELS = 4136
VELOCITIES = np.arange(-500.0, 501.0)
PACE = 0.3  # s between two spectra for a quick person
TIMED = 100  # keys at that pace
LIMIT = 100  # ms
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# The time of a key, as the browser gives it to the event: before any of the page's own work.
STOPWATCH = "addEventListener('keydown', (event) => { window.keyDown = event.timeStamp; }, true);"


def build(folder: Path, candidates: int) -> int:
    """Write the results; the position of the first packed candidate."""
    rng = np.random.default_rng(0)
    first = (candidates - PACKED) // 2
    names = [f"med-58625-TD192102N424113K01_sp12-{at // 400:03d}/{84420000 + at}" for at in range(candidates)]
    rows = slice(first, first + PACKED)
    wavelength = np.geomspace(6300.0, 6800.0, PIXELS)
    continuum = 4000 * (1 + 0.2 * np.sin(wavelength / 150))
    depth = rng.uniform(0, 0.6, (PACKED, 1)).astype(np.float32)
    line = np.exp(-0.5 * ((wavelength - 6564.6) / 1.5) ** 2).astype(np.float32)
    flux = (continuum * (1 - depth * line)).astype(np.float32)
    flux += 40 * rng.standard_normal(flux.shape, np.float32)
    mask = (rng.random(flux.shape, np.float32) < 0.002).astype(np.uint8)
    identity = {
        "spectrum_id": names[rows],
        "obsid": np.arange(PACKED),
        "planid": ["TD192102N424113K01"] * PACKED,
        "spid": np.full(PACKED, 12, np.int8),
        "fiberid": np.arange(PACKED) % 250,
        "lmjd": np.full(PACKED, 58625),
        "lmjm": 84420000 + np.arange(PACKED),
        "band": ["R"] * PACKED,
        "snr": np.full(PACKED, 100.0),
        "ra": rng.uniform(0, 360, PACKED),
        "dec": rng.uniform(-10, 60, PACKED),
    }
    batch = SpectrumBatch.from_arrays(identity, wavelength, flux, np.full(flux.shape, 1 / 1600), mask)
    arrow = folder / "spectra/pool/fields.arrow"
    write_bundle(arrow, [batch])
    write_index(arrow, arrow.with_suffix(".parquet"))
    centre = rng.uniform(20, 200, (PACKED, 1))
    ccf = sum(0.5 * np.exp(-0.5 * ((VELOCITIES - sign * centre) / 25) ** 2) for sign in (-1, 1))
    curves = CCFs(ccf.astype(np.float32), np.zeros(PACKED, np.int8), np.ones(PACKED, bool))
    write_curves(folder / "binaries/ccf/fields.arrow", [(batch.identity, curves)], VELOCITIES)

    place = np.arange(candidates) - first
    packed = (place >= 0) & (place < PACKED)
    common = {
        "spectrum_id": names,
        "bundle": pa.array(np.where(packed, "fields", None), pa.string()),
        "row": pa.array(np.clip(place, 0, PACKED - 1), pa.int64(), mask=~packed),
        "ra": rng.uniform(0, 360, candidates),
        "dec": rng.uniform(-10, 60, candidates),
    }
    real = pa.array(rng.uniform(-200, 200, candidates), pa.float32())
    binaries = dict.fromkeys(
        ("rv_1", "rv_2", "rv_1_err", "rv_2_err", "sigma", "ccf_max", "reliability"), real
    )
    write_parquet(pa.table(common | binaries), folder / "catalogs/binaries_spectra.parquet")
    third = pa.array(np.full(candidates, 1 / 3), pa.float32())
    emission = dict.fromkeys(("p_single", "p_double", "p_uninteresting", "score"), third)
    write_parquet(pa.table(common | emission), folder / "catalogs/emission.parquet")
    return first


def resident(pid: int) -> float:
    """Resident memory of a process, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def heap(session) -> float:
    """JavaScript heap in use after a garbage collection, MB."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 1e6


def label(page, count: int, pace: float) -> np.ndarray:
    """Give `count` labels by keyboard, each when the spectrum before is drawn; latencies in ms."""
    taken = []
    for i in range(count):
        time.sleep(pace)
        before = page.locator("body").get_attribute("data-position")
        page.keyboard.press("12"[i % 2])
        page.locator(f'body[data-position]:not([data-position="{before}"])').wait_for()
        taken.append(page.evaluate("() => window.starsiftReady - window.keyDown"))
    return np.array(taken)


def measure(url: str, pid: int, browser, first: int, items: int) -> None:
    """Print the tables of both searches."""
    latency, memory = [], []
    for queue, what in (
        ("binaries-spectra", "binaries: 4 plots"),
        ("emission-candidates", "emission: 2 plots"),
    ):
        context = browser.new_context(viewport={"width": 1920, "height": 1080})
        page = context.new_page()
        page.add_init_script(STOPWATCH)
        session = context.new_cdp_session(page)
        session.send("Performance.enable")
        page.goto(f"{url}?user=benchmark#{queue}/{first}")
        page.locator(f'body[data-position="{first}"]').wait_for()
        label(page, 20, 0)  # warm: caches, compiled code
        before = heap(session), resident(pid)
        for pace, count in ((0.0, items), (PACE, TIMED)):
            taken = label(page, count, pace)
            name = f"{pace:.1f} s" if pace else "none"
            latency.append((what, name, count, *np.percentile(taken, [50, 95]), taken.max()))
        memory.append((what, items + TIMED, *before, heap(session), resident(pid)))
        context.close()
    print("| search | pause between keys | spectra | median, ms | 95 %, ms | longest, ms | limit, ms |")
    print("|---|---|---|---|---|---|---|")
    for what, name, count, *numbers in latency:
        print(f"| {what} | {name} | {count} | {' | '.join(f'{n:.0f}' for n in numbers)} | {LIMIT} |")
    print("\n| memory, MB | page at the start | page at the end | server at the start | server at the end |")
    print("|---|---|---|---|---|")
    for what, count, page_before, server_before, page_after, server_after in memory:
        print(
            f"| {what}, {count} spectra | {page_before:.1f} | {page_after:.1f} "
            f"| {server_before:.0f} | {server_after:.0f} |",
            flush=True,
        )


def main() -> None:
    """Build the pool, start the server, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=500)
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not installed: nothing measured")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = build(folder, options.candidates)
        command = [Path(sys.executable).with_name("starsift"), "review", folder, "--no-browser"]
        command += ["--labels", folder / "labels.sqlite"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
            try:
                url = server.stdout.readline().split(": ", 1)[1].strip()
                print(
                    f"{options.candidates:,} candidates in a queue, {PIXELS:,} pixels a spectrum\n",
                    flush=True,
                )
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
                    measure(url, server.pid, browser, first, options.items)
                    browser.close()
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
