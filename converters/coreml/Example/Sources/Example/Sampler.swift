/// DDIM without noise of its own (Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12), on the linear
/// schedule of 1000 steps (Ho et al. 2020, section 4).
struct Sampler {
    /// The steps that the network is called at, the noisiest first.
    let timesteps: [Int]
    private let remaining: [Double]

    /// `strength`, up to 1, is the share of the schedule that edits are noised to.
    init(steps: Int, strength: Double) throws {
        let total = 1000
        let start = Int((strength * Double(total)).rounded(.toNearestOrEven))
        guard 0 < start, start <= total, 0 < steps, steps <= start else {
            throw Failure("\(steps) steps of strength \(strength): from 1 to \(max(start, 1)) have room")
        }
        timesteps = steps == 1 ? [start / 2] : (0..<steps).reversed().map { $0 * start / steps }
        var product = 1.0
        remaining = (0..<total).map { t in
            let beta = 1e-4 + (0.02 - 1e-4) * Double(t) / Double(total - 1)
            product *= 1 - beta
            return product
        }
    }

    /// The share of the picture's variance that is left at a step; all of it after the last.
    private func share(_ t: Int) -> Double {
        t < 0 ? 1 : remaining[t]
    }

    /// A picture at a step of the noise.
    func noised(_ picture: [Float], at t: Int, by noise: [Float]) -> [Float] {
        let (signal, other) = (Float(share(t).squareRoot()), Float((1 - share(t)).squareRoot()))
        return zip(picture, noise).map { signal * $0 + other * $1 }
    }

    /// From one step to the next, at last the picture, by the noise that the network found.
    func step(_ index: Int, _ x: [Float], noise: [Float]) -> [Float] {
        let now = share(timesteps[index])
        let next = share(index + 1 < timesteps.count ? timesteps[index + 1] : -1)
        let ofX = (next / now).squareRoot()
        let ofNoise = (1 - next).squareRoot() - ofX * (1 - now).squareRoot()
        return zip(x, noise).map { Float(ofX) * $0 + Float(ofNoise) * $1 }
    }
}
