"""Runs a module with the model of Metal in place of a GPU:

python -m benchmarks.simulated sige_mlx doctor
python -m benchmarks.simulated benchmarks.frozen DIR --device gpu
"""

import runpy
import sys

from benchmarks.openblas import preload_openblas


def main(module: str, *arguments: str) -> None:
    """`python -m MODULE ARGUMENTS`, so that its device "gpu" is the model, also in processes that measure for it."""
    preload_openblas()  # before anything imports MLX, whose own BLAS would take minutes for what has no kernel
    from benchmarks.simulated.device import Simulated
    from sige_mlx.benchmark import isolated
    from sige_mlx.engine.gpu.launch import use

    isolated.RUN = (*isolated.RUN, "benchmarks.simulated")
    sys.argv = [module, *arguments]
    with use(Simulated):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage:{(__doc__ or '').partition(':')[2].rstrip()}")
    main(*sys.argv[1:])
