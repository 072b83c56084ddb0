// Where tiles are few, the sum over channels is shared out over threadgroups: each adds up some of every source's
// channels and stores its sums, and a kernel of its own adds the shares, always in the same order (../total).

#pragma once

namespace sige {

/// A share has so many channels or a multiple, but for the last ones of a source. All kernels stage at most as many.
constant constexpr int SHARED_CHANNELS = 32;

/// The groups of 8 channels from `first` to before `end` are a threadgroup's.
struct Share {
    int first, end;

    /// Those of the share `index` of `shares`, of a source of so many channels.
    METAL_FUNC Share(int channels, int index, int shares)
        : first(begin(channels, index, shares)), end(begin(channels, index + 1, shares)) {}

    METAL_FUNC bool empty() const { return first >= end; }

    static METAL_FUNC int begin(int channels, int index, int shares) {
        const int units = (channels + SHARED_CHANNELS - 1) / SHARED_CHANNELS;
        return metal::min(units * index / shares * (SHARED_CHANNELS / 8), (channels + 7) / 8);
    }
};

} // namespace sige
