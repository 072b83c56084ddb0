// A program calls these activations by their numbers.

#pragma once

namespace sige {

enum Activation { IDENTITY = 0, SILU = 1, RELU = 2, LEAKY_RELU = 3, TANH = 4 };

METAL_FUNC float activate(float x, int act) {
    switch (act) {
    case SILU:
        return x / (1.0f + metal::exp(-x));
    case RELU:
        return metal::max(x, 0.0f);
    case LEAKY_RELU:
        return x < 0.0f ? 0.2f * x : x;
    case TANH:
        return metal::precise::tanh(x);
    default:
        return x;
    }
}

METAL_FUNC float4 activate(float4 x, int act) {
    return float4(activate(x.x, act), activate(x.y, act), activate(x.z, act), activate(x.w, act));
}

} // namespace sige
