// What stands in front of every kernel: the checks, Metal's library, and the headers that MLX puts there on a Mac.
#pragma once

#include "msl/context.h"
#include "msl/hooks.h"

#include <metal_stdlib>

#include "msl/entry.h"

#include "mlx_utils.h" // MLX's own, rewritten by toolchain.py
