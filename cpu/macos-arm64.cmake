# cpu/ for Macs with Apple silicon, from any machine, by the C compiler of zig (PyPI: ziglang):
#
#     cmake -S cpu -B build/macos -DCMAKE_TOOLCHAIN_FILE=cpu/macos-arm64.cmake -DSIGE_ZIG=/path/to/zig
#
# zig brings headers and linker, and signs what it links (ad hoc, as Apple silicon demands of all code). It has no
# frameworks: whatever of them is wanted must be loaded at run time.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(SIGE_ZIG zig CACHE FILEPATH "The program")
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SIGE_ZIG)
set(CMAKE_OSX_SYSROOT "" CACHE STRING "None: zig has its own")
set(CMAKE_C_COMPILER ${SIGE_ZIG} cc -target aarch64-macos.14.0) # as MLX
set(SIGE_NEON_FLAGS -mcpu=apple_m1 CACHE STRING "As zig spells it")
