// A program calls these activations by their numbers. Exponentials and quotients are Metal's fast ones: those of values
// that matter are wrong by a few units in the last place of float, which storing in half is by a thousand times more.

#pragma once

namespace sige {

enum Activation { IDENTITY = 0, SILU = 1, RELU = 2, LEAKY_RELU = 3, TANH = 4 };

/// The fast functions are defined up to about 2^126; beyond this SILU is zero in any case.
constant constexpr float LARGEST_EXPONENT = 80.0f;

METAL_FUNC float activate(float x, int act) {
    switch (act) {
    case SILU:
        return metal::fast::divide(x, 1.0f + metal::fast::exp(metal::min(-x, LARGEST_EXPONENT)));
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
