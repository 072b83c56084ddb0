import CoreML

/// A picture that is open for edits. What is recorded of it serves every edit.
struct Session {
    let network: Network
    let original: Picture
    let sampler: Sampler
    let noise: [Float]
    private var recordings: [Int: Recording] = [:]

    init(_ network: Network, _ original: Picture, _ sampler: Sampler, noise: [Float]) throws {
        let about = network.about
        guard about.task == "denoising", about.family != "pd" else {
            throw Failure("\(about.model) is of the family \(about.family): this example has the steps of ddpm and adm")
        }
        guard about.image_size == [original.height, original.width] else {
            let size = about.image_size.reversed().map { "\($0)" }.joined(separator: " x ")
            throw Failure("the picture has \(original.width) x \(original.height) pixels: \(about.model) takes \(size)")
        }
        self.network = network
        self.original = original
        self.sampler = sampler
        self.noise = noise
    }

    /// The mask of an edit, as `sige-mlx edit` makes it.
    func mask(_ painted: Picture) -> Mask {
        let edit = network.about.edit
        return Mask(between: original, and: painted, eps: edit.eps).dilated(by: edit.dilation)
    }

    private func inputs(_ x: [Float], _ t: Int) -> [String: MLFeatureValue] {
        ["image": array(x, [1, 3, original.height, original.width]), "timestep": array([Float(t)], [1])]
    }

    /// Renders what was painted; the rest is the original.
    mutating func edit(_ painted: Picture, tell: (String) -> Void = { _ in }) throws -> Picture {
        let mask = self.mask(painted)
        if mask.isEmpty {
            return original
        }
        let lists = try network.lists(mask)
        tell(network.bucket(lists).map { "an edit in at most \($0) tiles" } ?? "a dense pass, for no bucket is so large")
        var x = sampler.noised(painted.planes, at: sampler.timesteps[0], by: noise)
        for (i, t) in sampler.timesteps.enumerated() {
            let before = sampler.noised(original.planes, at: t, by: noise)
            x = mask.select(x, before)
            var recording = try recordings[t] ?? network.record(inputs(before, t))
            let found = try network.edit(inputs(x, t), &recording, lists)
            recordings[t] = recording
            x = sampler.step(i, x, noise: found)
        }
        return Picture(
            width: original.width, height: original.height, planes: mask.select(x, original.planes))
    }
}
