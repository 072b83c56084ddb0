"""Prints the best rate of NumPy's matrix product, in GFLOPS."""

import time

import numpy as np

SIDE = 1536  # too large for second-level caches, as a network's layers are
TRIES = 12


def main() -> None:
    a = np.ones((SIDE, SIDE), np.float32)
    product = np.empty_like(a)
    fastest = np.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        np.matmul(a, a, out=product)
        fastest = min(fastest, time.perf_counter() - start)
    print(2e-9 * SIDE**3 / fastest)


if __name__ == "__main__":
    main()
