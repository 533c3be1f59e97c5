"""Spectra and tables to TOPCAT, Aladin and others, over SAMP (IVOA recommendation 1.3).

The app joins a hub that runs already (TOPCAT and Aladin bring one) and never starts one; it takes no
messages. Data go as files in a private folder, gone when the app ends.
"""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.utils.exceptions import AstropyDeprecationWarning

from starsift.errors import SampError

with warnings.catch_warnings():
    # astropy 8 says that pyvo will take this over; it has not gone yet.
    warnings.simplefilter("ignore", AstropyDeprecationWarning)
    from astropy.samp import SAMPHubError, SAMPHubProxy, SAMPIntegratedClient, SAMPProxyError

NO_HUB = "no SAMP hub is running; start TOPCAT or Aladin on this machine, then send again"
TIMEOUT = 10  # s for an application to answer; big tables take a while to load
ATTEMPTS, PAUSE = 4, 0.7  # a row cannot be marked just after its table was sent: try again, seconds apart

_FAILURES = (SAMPHubError, SAMPProxyError, OSError)


class SampLink:
    """A client of the SAMP hub, connected when it is first needed; threads may share it.

    Methods that send something return how many applications took it, and raise `SampError` where there is no
    hub or none took it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._client: SAMPIntegratedClient | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._sent: set[str] = set()

    def close(self) -> None:
        """Leave the hub and delete what was sent."""
        with self._lock:
            if self._client is not None:
                with suppress(*_FAILURES):  # the hub may have gone first
                    self._client.disconnect()
            self._client = None
            if self._folder is not None:
                self._folder.cleanup()
            self._folder = None
            self._sent.clear()

    def available(self) -> bool:
        """Whether a hub is running."""
        hub = SAMPHubProxy()
        try:
            hub.connect(pool_size=1)
        except (*_FAILURES, KeyError):
            return False
        hub.disconnect()
        return True

    def send_spectrum(self, name: str, wavelength: np.ndarray, flux: np.ndarray, error: np.ndarray) -> int:
        """Send a spectrum: as such to applications that know spectra, as a table to the others.

        Its good pixels are `wavelength` (n,) vacuum Angstrom, `flux` and `error` (n,).
        """
        table = Table({"wavelength": wavelength * u.AA, "flux": flux, "error": error})
        table.meta = {"description": f"{name}, vacuum wavelengths, heliocentric"}
        with self._lock:
            url = self._write("spectrum", table)
            about = {
                "Access.Reference": url,
                "Access.Format": "application/x-votable+xml",
                "DataID.Title": name,
                "vox:spectrum_axes": "wavelength flux",
                "vox:spectrum_units": "Angstrom",
            }
            spectrum = {"url": url, "meta": about, "spectrum-id": f"starsift:{name}", "name": name}
            loaded = self._send("spectrum.load.ssa-generic", spectrum)
            as_table = {"url": url, "table-id": f"starsift:{name}", "name": name}
            loaded += self._send("table.load.votable", as_table, but=loaded)
            return _some(loaded, "a spectrum or a table")

    def send_table(self, name: str, table: Callable[[], Table]) -> int:
        """Send the table of a queue, by whose `name` rows are marked afterwards.

        `table` makes it, with rows by position; it is not called where there is no hub.
        """
        with self._lock:
            self._listeners("table.load.votable")
            url = self._write(f"table-{name}", table())
            message = {"url": url, "table-id": _table_id(name), "name": f"starsift {name}"}
            loaded = _some(self._send("table.load.votable", message), "a table")
            self._sent.add(name)
            return loaded

    def highlight(self, name: str, row: int, ra: float | None, dec: float | None) -> int:
        """Mark a row of a queue's table where that was sent, and point sky viewers at the star."""
        with self._lock:
            done: list[str] = []
            if name in self._sent:
                message = {"table-id": _table_id(name), "row": str(row)}
                done += self._send("table.highlight.row", message, attempts=ATTEMPTS)
            if ra is not None and dec is not None:
                message = {"ra": repr(ra), "dec": repr(dec)}
                done += self._send("coord.pointAt.sky", message)
            return _some(
                sorted(set(done)), "a row of a table (send the table first) or a position on the sky"
            )

    def _write(self, stem: str, table: Table) -> str:
        """The table as a VOTable in the private folder; its URL."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="starsift-")
        folder = Path(self._folder.name)
        # A new name each time: the application may not have read the last one yet.
        file = folder / f"{stem}-{len(list(folder.iterdir()))}.vot"
        with warnings.catch_warnings():
            # astropy would rather see Angstrom as 0.1 nm; people would not.
            warnings.simplefilter("ignore", u.UnitsWarning)
            table.write(file, format="votable", tabledata_format="binary2")
        return file.as_uri()

    def _connected(self) -> SAMPIntegratedClient:
        if self._client is not None:
            try:
                self._client.ping()
                return self._client
            except _FAILURES:  # the hub has ended; there may be another
                self._client = None
                self._sent.clear()
        metadata = {"samp.name": "starsift", "samp.description.text": "rare stars in spectroscopic surveys"}
        # Not callable: no port is opened for others to call.
        client = SAMPIntegratedClient(metadata=metadata, callable=False)
        try:
            client.connect(pool_size=2)
        except (*_FAILURES, KeyError):
            raise SampError(NO_HUB) from None
        self._client = client
        return client

    def _listeners(self, mtype: str) -> list[str]:
        client = self._connected()
        try:
            return sorted(client.get_subscribed_clients(mtype))
        except _FAILURES as error:
            raise SampError(f"the SAMP hub does not answer ({error}); send again") from error

    def _send(
        self, mtype: str, parameters: Mapping[str, Any], *, but: list[str] | None = None, attempts: int = 1
    ) -> list[str]:
        """Send a message to all applications that know it, except `but`; the names of those that obeyed."""
        waiting = [name for name in self._listeners(mtype) if name not in (but or [])]
        message = {"samp.mtype": mtype, "samp.params": dict(parameters)}
        done: list[str] = []
        for attempt in range(attempts):
            if attempt and waiting:
                time.sleep(PAUSE)
            done += [name for name in waiting if self._ask(name, message)]
            waiting = [name for name in waiting if name not in done]
        return done

    def _ask(self, recipient: str, message: Mapping[str, Any]) -> bool:
        try:
            answer = self._connected().call_and_wait(recipient, message, str(TIMEOUT))
        except _FAILURES:  # it left, or does not answer
            return False
        return str(answer.get("samp.status")) != "samp.error"


def _table_id(name: str) -> str:
    return f"starsift:{name}"


def _some(loaded: list[str], what: str) -> int:
    if not loaded:
        raise SampError(
            f"no application on the SAMP hub took {what}; start TOPCAT or Aladin, then send again"
        )
    return len(loaded)
