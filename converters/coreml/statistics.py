"""Statistics of norms: of whole planes, of tiles pasted over the recorded ones, and recorded ones that follow an edit.

They are means and variances, never sums and sums of squares, which would overflow in float16, and cancel. What moves
recorded statistics by a little is computed in float32 in any precision.
"""

from typing import Any

import numpy as np

from sige_mlx.converters.coreml.builder import Builder
from sige_mlx.converters.coreml.reading import Reading
from sige_mlx.converters.coreml.windows import normalised, own_pixels, partial
from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE


class Statistics(Reading):
    """It takes statistics of values, and makes of them what norms do to pixels."""

    # ---- of tiles

    def moments_of_plane(self, domain: p.Domain, v: Any) -> Any:
        """Returns mean and variance of every tile of a plane, [N·tiles, 2, C]."""
        n, c, h, w = v.shape
        t, gh, gw = domain.tile, -(-h // domain.tile), -(-w // domain.tile)
        if partial(domain):
            v = self.mb.pad(x=v, pad=[0, 0, 0, 0, 0, gh * t - h, 0, gw * t - w], mode="constant", constant_val=0.0)
        v = self.mb.transpose(x=self.mb.reshape(x=v, shape=[n * c, gh, t, gw, t]), perm=[0, 1, 3, 2, 4])
        v = self.mb.reshape(x=v, shape=[n, c, gh * gw, t * t])
        v = self.mb.reshape(x=self.mb.transpose(x=v, perm=[0, 2, 1, 3]), shape=[n * gh * gw, c, t * t])
        inside = None
        if partial(domain):
            whole = np.pad(np.ones((h, w), np.float32), ((0, gh * t - h), (0, gw * t - w)))
            whole = whole.reshape(gh, t, gw, t).transpose(0, 2, 1, 3).reshape(gh * gw, 1, t * t)
            inside = np.tile(whole, (n, 1, 1))
        return self._both(v, inside)

    def moments_of_tiles(self, domain: p.Domain, v: Any) -> Any:
        """Returns mean and variance of blocks, [tiles, 2, C], of their pixels in the image."""
        n, c, t, _ = v.shape
        inside = None
        if partial(domain):
            inside = self.mb.floats(self.index(own_pixels(domain)).inside(n, 1, t * t))
        return self._both(self.mb.reshape(x=v, shape=[n, c, t * t]), inside)

    def _both(self, v: Any, inside: Any) -> Any:
        """Returns mean and variance over the last axis of [tiles, C, pixels], where `inside` is 1."""
        mean = self._mean(v, inside)
        variance = self._mean(self.mb.square(x=self.mb.sub(x=v, y=mean)), inside)
        return self.mb.concat(values=[self.mb.transpose(x=x, perm=[0, 2, 1]) for x in (mean, variance)], axis=1)

    def _mean(self, v: Any, inside: Any) -> Any:
        """Returns the mean over the last axis of [tiles, C, pixels], where `inside` is 1."""
        if inside is None:
            return self.mb.reduce_mean(x=v, axes=[2], keep_dims=True)
        total = self.mb.reduce_sum(x=self.mb.mul(x=v, y=inside), axes=[2], keep_dims=True)
        if isinstance(inside, np.ndarray):
            return self.mb.mul(x=total, y=1 / inside.sum(2, keepdims=True))
        return self.mb.real_div(x=total, y=self.mb.reduce_sum(x=inside, axes=[2], keep_dims=True))

    # ---- of norms

    def norm(self, op: p.Norm) -> None:
        """Appends the scale and the shift of a norm, by image and channel, and what is recorded of it."""
        n, c, g = op.n, sum(op.c), op.groups
        mean, variance = self._taken(op) if op.recorded == NONE else self._followed(op)
        weight = np.ones(c, np.float32) if op.weight == NONE else self.constant(op.weight)
        bias = np.zeros(c, np.float32) if op.bias == NONE else self.constant(op.bias)
        gain, offset = (x.reshape(1, c, 1, 1) for x in (weight, bias))
        if op.mod != NONE:
            film = self.get(op.mod, 2 * c)
            by, plus = (self.mb.slice_by_size(x=film, begin=[0, i, 0, 0], size=[n, c, 1, 1]) for i in (0, c))
            by = self.mb.add(x=by, y=np.float32(1))
            gain, offset = self.mb.mul(x=by, y=gain), self.mb.add(x=self.mb.mul(x=by, y=offset), y=plus)
        factor, addend = (
            x.reshape(1, g, c // g) if isinstance(x, np.ndarray) else self.mb.reshape(x=x, shape=[n, g, c // g])
            for x in (gain, offset)
        )
        scale, shift = affine(self.mb, mean, variance, factor, addend, op.eps)
        self.values[op.scale], self.values[op.shift] = (
            self.mb.reshape(x=x, shape=[n, c, 1, 1]) for x in (scale, shift)
        )
        if op.moments != NONE:
            both = [self.exact.reshape(x=x, shape=[n, 1, g]) for x in (mean, variance)]
            self.values[op.moments] = self.exact.concat(values=both, axis=1)
        if op.gain != NONE:
            assert op.mod != NONE, "what does not depend on inputs is not recorded"
            both = [self.exact.reshape(x=x, shape=[n, 1, c]) for x in (gain, offset)]
            self.values[op.gain] = self.exact.concat(values=both, axis=1)

    def _taken(self, op: p.Norm) -> tuple[Any, Any]:
        """Returns mean and variance by image and group, [N, groups, 1], of all that a norm normalises."""
        found = [self._of_channels(op, slot, c) for slot, c in zip(op.sums, op.c, strict=True)]
        mean, variance = (
            x[0] if len(x) == 1 else self.mb.concat(values=[*x], axis=1) for x in zip(*found, strict=True)
        )
        n, c, g = op.n, sum(op.c), op.groups
        mean, variance = (self.mb.reshape(x=x, shape=[n, g, c // g]) for x in (mean, variance))
        if c == g:
            return mean, variance
        of_group = self.mb.reduce_mean(x=mean, axes=[2], keep_dims=True)
        variance = self.mb.add(x=variance, y=self.mb.square(x=self.mb.sub(x=mean, y=of_group)))
        return of_group, self.mb.reduce_mean(x=variance, axes=[2], keep_dims=True)

    def _of_channels(self, op: p.Norm, slot: int, c: int) -> tuple[Any, Any]:
        """Returns mean and variance by image and channel, [N, C]."""
        if slot in self.summed:
            v = self.summed[slot]
            mean = self.mb.reduce_mean(x=v, axes=[2, 3], keep_dims=True)
            variance = self.mb.reduce_mean(x=self.mb.square(x=self.mb.sub(x=v, y=mean)), axes=[2, 3], keep_dims=True)
        else:
            moments = self.moments[slot]
            tiles = moments.shape[0] // op.n
            moments = self.mb.reshape(x=moments, shape=[op.n, tiles, 2, c])
            means, variances = (
                self.mb.slice_by_size(x=moments, begin=[0, 0, i, 0], size=[op.n, tiles, 1, c]) for i in (0, 1)
            )
            weight = self.weight_of_tiles[slot]
            mean = self.mb.reduce_sum(x=self.mb.mul(x=means, y=weight), axes=[1], keep_dims=True)
            variance = self.mb.add(x=variances, y=self.mb.square(x=self.mb.sub(x=means, y=mean)))
            variance = self.mb.reduce_sum(x=self.mb.mul(x=variance, y=weight), axes=[1], keep_dims=True)
        return self.mb.reshape(x=mean, shape=[op.n, c]), self.mb.reshape(x=variance, shape=[op.n, c])

    def _followed(self, op: p.Norm) -> tuple[Any, Any]:
        """Returns recorded mean and variance, [N, groups, 1], with the recomputed tiles in the place of those before.

        With a share s of the plane a tile takes its mean from a to b and its variance from u to v. Around the recorded
        mean m that moves the mean by d, the sum of s (b - a), and the variance by that of
        s (v - u + (b - a)(b + a - 2m)), less d²: differences alone, so that nothing cancels."""
        exact, n, g, c = self.exact, op.n, op.groups, sum(op.c)
        mean, variance = (
            exact.reshape(
                x=exact.slice_by_size(x=self.values[op.recorded], begin=[0, i, 0], size=[n, 1, g]), shape=[n, g, 1]
            )
            for i in (0, 1)
        )
        shares = self._shares(normalised(self.program, op, self.tile))
        by_channel = exact.reshape(x=exact.tile(x=mean, reps=[1, 1, c // g]), shape=[n, c])
        moved: list[tuple[Any, Any]] = []
        first = 0
        for after, before, channels in zip(op.sums, op.before, op.c, strict=True):
            b, v, a, u = (
                exact.reshape(
                    x=exact.slice_by_size(x=of, begin=[0, i, 0], size=[of.shape[0], 1, channels]),
                    shape=[of.shape[0], channels],
                )
                for of in (self.moments[after], self.moments[before])
                for i in (0, 1)
            )
            by, both = exact.sub(x=b, y=a), exact.add(x=b, y=a)
            m = exact.slice_by_size(x=by_channel, begin=[0, first], size=[n, channels])
            d = exact.matmul(x=shares, y=by)
            around = exact.sub(x=both, y=exact.mul(x=self._of_tiles(shares, m), y=np.float32(2)))
            change = exact.add(x=exact.sub(x=v, y=u), y=exact.mul(x=by, y=around))
            moved.append((d, exact.matmul(x=shares, y=change)))
            first += channels
        d, change = (x[0] if len(x) == 1 else exact.concat(values=[*x], axis=1) for x in zip(*moved, strict=True))
        d, change = (
            exact.reduce_mean(x=exact.reshape(x=x, shape=[n, g, c // g]), axes=[2], keep_dims=True) for x in (d, change)
        )
        variance = exact.add(x=variance, y=exact.sub(x=change, y=exact.square(x=d)))
        return exact.add(x=mean, y=d), exact.maximum(x=variance, y=np.float32(0))

    def _shares(self, domain: p.Domain) -> Any:
        """Returns which share of an image's plane the active tiles take, [N, tiles]; the others take none."""

        def make() -> Any:
            exact, size, t2 = self.exact, (domain.h, domain.w), domain.tile**2
            windows = own_pixels(domain)
            tiles = self.indices[windows].shape[0]
            active = exact.floats(self.index(windows).recomputed(tiles, t2))
            shares = exact.mul(x=exact.reduce_sum(x=active, axes=[1]), y=np.float32(1 / (domain.h * domain.w)))
            shares = exact.reshape(x=shares, shape=[1, tiles])
            if domain.n == 1:
                return shares
            of = self.mb.reshape(x=self.images[size], shape=[1, tiles])
            own = self.mb.equal(x=of, y=np.arange(domain.n, dtype=np.int32)[:, None])
            return exact.mul(x=exact.floats(own), y=shares)

        return self.once(("shares", domain), make)

    def _of_tiles(self, shares: Any, x: Any) -> Any:
        """Returns what there is of every image, [N, C], for every tile, [tiles, C], or for all where there is one."""
        if x.shape[0] == 1:
            return x
        own = self.exact.floats(self.exact.greater(x=shares, y=np.float32(0)))
        return self.exact.matmul(x=own, y=x, transpose_x=True)


def affine(mb: Builder, mean: Any, variance: Any, gain: Any, offset: Any, eps: float) -> tuple[Any, Any]:
    """Returns the scale and the shift of a norm by group and channel, from what it does to a channel of mean 0 and
    variance 1."""
    scale = mb.mul(x=mb.rsqrt(x=variance, epsilon=float(eps)), y=gain)
    return scale, mb.sub(x=offset, y=mb.mul(x=mean, y=scale))


def weights_of_tiles(size: tuple[int, int], tile: int) -> Any:
    """Returns the share of a plane's pixels that each of its tiles has, [1, tiles, 1, 1]."""
    counts = [np.minimum(tile, n - np.arange(0, n, tile)) for n in size]
    weights = np.outer(*counts).astype(np.float32) / np.float32(size[0] * size[1])
    return weights.reshape(1, -1, 1, 1)
