// In place of MLX's: kernels do not log here.
#pragma once
