"""What the NEON kernels do, without a processor that has NEON.

`python -m benchmarks.neon` cross-compiles the CPU library as macOS wheels have it, lets LLVM's machine-code analyser
run the inner loops on the model of a core with as many vector pipes as Apple's, and runs a small network from end to
end under qemu-user, where a plugin counts what is executed. `benchmarks.prediction --device cpu` rests on that.
"""
