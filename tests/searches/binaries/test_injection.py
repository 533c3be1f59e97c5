"""Detection rates of injected binaries."""

from starsift.searches.binaries.injection import detection_rates, flux_ratio_limits


def test_detection_follows_separation_signal_and_flux_ratio(laboratory):
    table = detection_rates(laboratory, seed=1, trials=5, delta_rv=[20, 120], snr=[10, 50])
    rate = {(row["teff"], row["delta_rv"], row["snr"]): row["rate"] for row in table.to_pylist()}
    assert all(rate[teff, 20, snr] == 0 for teff, _, snr in rate)  # below the resolution: never two
    assert all(rate[teff, 120, 50] == 1 for teff, _, _ in rate)
    limits = flux_ratio_limits(laboratory, seed=1, teff=[4000, 7000, 1000])
    ratio, detected = limits["flux_ratio"].to_numpy(), limits["detected"].to_numpy(zero_copy_only=False)
    assert detected[(ratio > 0.5) & (ratio < 2)].all()
    assert not detected[(ratio < 0.1) | (ratio > 10)].any()
