"""Classification speed: CCFs/s of each of C1 to C4, against the machine's float32 matrix product.

    OMP_NUM_THREADS=2 python benchmarks/classification.py

The yardstick is the same network in plain NumPy, spectrum by spectrum. The networks are hardly trained: speed
does not depend on it. C2 is two networks. GFLOP/s count the multiplications and additions of the networks as
they are run (every fourth velocity, see `starsift.searches.binaries.training`).
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from starsift.searches.binaries.training import CLASSIFIERS, Classifier, train_classifier
from starsift.searches.binaries.voting import CALLS, class_probabilities
from starsift.settings import default_settings

BINARIES = default_settings()["binaries"]

N, VELOCITIES, LOOP = 60_000, 1001, 500
TARGET = 60_000  # CCFs/s a classifier


def best_time(function: Callable[[], object], repeats: int = 5) -> float:
    """Shortest time of `repeats` runs after one to warm up, in seconds."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def gemm_rate() -> float:
    """GFLOP/s of a float32 matrix product of the size of a first layer at full sampling."""
    rng = np.random.default_rng(0)
    a = rng.random((4096, VELOCITIES), np.float32)
    b = rng.random((VELOCITIES, 600), np.float32)
    return 2 * 4096 * VELOCITIES * 600 / best_time(lambda: a @ b, 10) / 1e9


def layers(classifier: Classifier) -> list[np.ndarray]:
    """Kernel, bias, kernel, bias, ... of the dense layers."""
    return [np.asarray(weight) for weight in classifier.model.get_weights()]


def operations(classifier: Classifier) -> int:
    """Floating-point operations a CCF."""
    return 2 * sum(weight.size for weight in layers(classifier)[::2])


def plain_loop(ccf: np.ndarray, classifier: Classifier) -> None:
    """The network on one CCF after the other, with every velocity of the CCF as in the paper."""
    weights = layers(classifier)
    first = np.zeros((VELOCITIES, weights[0].shape[1]), np.float32)
    first[:: (VELOCITIES - 1) // (len(weights[0]) - 1)] = weights[0] * 10
    for curve in ccf:
        x = np.maximum(curve @ first + weights[1], 0)
        x = np.maximum(x @ weights[2] + weights[3], 0)
        x = np.exp(x @ weights[4] + weights[5])
        x /= x.sum()


def main() -> None:
    rng = np.random.default_rng(1)
    ccf = rng.normal(0, 0.1, (N, VELOCITIES)).astype(np.float32)
    label = np.arange(400) % 4
    networks = {
        name: train_classifier(ccf[:400], label, name, **BINARIES["network"] | {"epochs": 1})
        for name in CLASSIFIERS
    }
    gemm = gemm_rate()
    print(f"float32 matrix product: {gemm:.0f} GFLOP/s, {N} CCFs of {VELOCITIES} velocities\n")
    print("| classifier | CCFs/s | GFLOP/s | of matrix product | plain NumPy, CCFs/s | target |")
    print("|---|---|---|---|---|---|")
    for name in CALLS:
        used = [networks[n] for n in CLASSIFIERS if n.startswith(name)]
        rate = N / best_time(partial(class_probabilities, networks, name, ccf), 5)
        plain = LOOP / sum(best_time(partial(plain_loop, ccf[:LOOP], c), 5) for c in used)
        gflops = rate * sum(operations(c) for c in used) / 1e9
        met = "met" if rate >= TARGET else "missed"
        print(
            f"| {name} | {rate:,.0f} | {gflops:.0f} | {gflops / gemm:.0%} | {plain:,.0f} | {TARGET:,} {met} |"
        )


if __name__ == "__main__":
    main()
