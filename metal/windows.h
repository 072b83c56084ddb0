// The loader brings the pixels that a threadgroup's tiles see, their windows, into threadgroup memory, BK channels at a
// time. A pixel is fetched and normalised once for all taps that read it.

#pragma once

#include "activation.h"
#include "plane.h"
#include "vectors.h"

namespace sige {

/// A pixel of a window has a place, an image, and places of its gamma and beta.
using WindowPixel = int4;

/// A source is read from these arrays.
template <typename T> struct SourceArrays {
    PlaneArrays<T> x;
    const device float *affine;
    ModulationArrays<T> mod;
};

/// The windows of `tiles` tiles lie one after the other, row by row. Those of neighbouring tiles begin `step` pixels
/// apart.
struct Windows {
    int tiles, step, height, width;

    METAL_FUNC Windows(const device Source &s, int tile, int tiles_)
        : tiles(tiles_), step(tile * s.stride), height(step - s.stride + s.kh), width(step - s.stride + s.kw) {}

    METAL_FUNC int count() const { return tiles * height * width; }

    /// Returns the number of pixel (y, x) of a tile's window.
    METAL_FUNC int pixel(int tile, int y, int x) const { return (tile * height + y) * width + x; }

    /// Finds where every pixel is; `first_tile` is the first of the tiles in the domain.
    template <typename T>
    METAL_FUNC void find(threadgroup WindowPixel *pixels, const device Source &s, SourceArrays<T> arrays,
                         const device Domain &domain, const device int *list, int first_tile, int thread_index,
                         int threads) const {
        for (int i = thread_index; i < count(); i += threads) {
            const Tile tile = tile_of(domain, list, first_tile + i / (height * width));
            const int at = i % (height * width);
            const int y = seen(s, tile.row * step - s.pad_top + at / width, s.x.h);
            const int x = seen(s, tile.column * step - s.pad_left + at % width, s.x.w);
            WindowPixel pixel = WindowPixel{NOWHERE, tile.image, NOWHERE, NOWHERE};
            if (!tile.absent() && y >= 0 && x >= 0) {
                pixel.x = locate(s.x, arrays.x.grid, tile.image, stored(y, s.resample), stored(x, s.resample));
                if (s.mod.present) {
                    pixel.z = locate(s.mod.gamma, arrays.mod.gamma.grid, tile.image, y, x);
                    pixel.w = locate(s.mod.beta, arrays.mod.beta.grid, tile.image, y, x);
                }
            }
            pixels[i] = pixel;
        }
    }
};

/// Windows lie in threadgroup memory pixel after pixel.
template <typename T, int PITCH> struct PixelByPixel {
    using Number = T;

    static METAL_FUNC int at(int pixel, int channel) { return pixel * PITCH + channel; }
};

/// Loads channels [first, first + BK) of all pixels of windows. What `fetch` asked for is in registers until `put`
/// writes it to threadgroup memory, in a Layout, so that the arithmetic on one set of channels hides the latency of the
/// next: registers are the second of two buffers. A second one in threadgroup memory would do with one barrier a set
/// instead of two, but sets would be half as large for the same memory, and so their barriers as many.
///
/// A thread loads the same four channels of all its pixels, so it fetches their scale and shift once, those of the
/// image that its first pixel is of; a pixel of another image, of which few threadgroups have one, reads its own.
template <typename T, typename Layout, int BK, int PIXELS, int THREADS, bool VEC> struct WindowLoader {
    using Number = typename Layout::Number;

    static constant constexpr const int VECTORS = BK / 4;
    static constant constexpr const int LOADS = (PIXELS * VECTORS + THREADS - 1) / THREADS;

    const device Source *source;
    const SourceArrays<T> arrays;
    const threadgroup WindowPixel *pixels;
    const int count, thread_index;
    Vec4<T> fetched[LOADS];
    float4 scale, shift;

    static_assert(THREADS % VECTORS == 0, "a thread's channels are always the same");

    METAL_FUNC WindowLoader(const device Source &source_, SourceArrays<T> arrays_,
                            const threadgroup WindowPixel *pixels_, int count_, int thread_index_)
        : source(&source_), arrays(arrays_), pixels(pixels_), count(count_ * VECTORS), thread_index(thread_index_) {}

    /// Returns the first of this thread's channels, when those from `first_channel` on are loaded.
    METAL_FUNC int channel(int first_channel) const { return first_channel + thread_index % VECTORS * 4; }

    /// Returns the image whose scale and shift are fetched; the windows must have been found.
    METAL_FUNC int image() const { return pixels[metal::min(thread_index, count - 1) / VECTORS].y; }

    METAL_FUNC void fetch(int first_channel) {
        const int channels = source->x.c, c = channel(first_channel);
        if (source->affine.present && c < channels && image() >= 0) {
            const device float *of_image = arrays.affine + source->affine.first + image() * source->affine.image + c;
            scale = load4<VEC>(of_image, channels - c);
            shift = load4<VEC>(of_image + source->affine.shift, channels - c);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < LOADS; i++) {
            const int load = thread_index + i * THREADS;
            fetched[i] = Vec4<T>{T(0), T(0), T(0), T(0)};
            if (load < count && c < channels) {
                const Place place = pixels[load / VECTORS].x;
                if (place != NOWHERE) {
                    fetched[i] = load4<VEC>(at_place(arrays.x, place, channels) + c, channels - c);
                }
            }
        }
    }

    METAL_FUNC void put(threadgroup Number *window, int first_channel) const {
        const int channels = source->x.c, c = channel(first_channel);
#pragma clang loop unroll(full)
        for (int i = 0; i < LOADS; i++) {
            const int load = thread_index + i * THREADS;
            if (load < count) {
                const WindowPixel pixel = pixels[load / VECTORS];
                const bool raw = in_base(pixel.x) || source->mod.present;
                float4 v = widened<T>(fetched[i]);
                if (normalises() && raw && pixel.x != NOWHERE && c < channels) {
                    v = normalised(v, pixel, c, channels - c);
                }
                threadgroup Number *to = window + Layout::at(load / VECTORS, load % VECTORS * 4);
                *reinterpret_cast<threadgroup Vec4<Number> *>(to) = narrowed<Number>(v);
            }
        }
    }

    METAL_FUNC bool normalises() const {
        return source->affine.present || source->mod.present || source->act != IDENTITY;
    }

    METAL_FUNC float4 normalised(float4 x, WindowPixel pixel, int c, int left) const {
        if (source->affine.present && pixel.y == image()) {
            x = x * scale + shift;
        } else {
            x = affine4<VEC>(x, source->affine, arrays.affine, pixel.y, c, left);
        }
        if (source->mod.present) {
            x = modulated4<VEC>(x, source->mod, arrays.mod, pixel.z, pixel.w, c, left);
        }
        return activate(x, source->act);
    }
};

} // namespace sige
