import Foundation

/// Pictures, noise and the CPU engine's result, as `sige-mlx export --numbers` writes them.
struct Numbers {
    struct About: Decodable {
        let steps: Int
        let strength: Double
        let bound: Double
    }

    let about: About
    let original: Picture
    let painted: Picture
    let noise: [Float]
    let mask: Mask
    let expected: [Float]

    init(_ folder: URL, _ network: Network) throws {
        let (height, width) = (network.about.image_size[0], network.about.image_size[1])
        func read(_ name: String, _ count: Int) throws -> [Float] {
            let data = try Data(contentsOf: folder.appendingPathComponent(name))
            guard data.count == 4 * count else {
                throw Failure("\(name) has \(data.count) bytes: \(4 * count) would be those of \(width) x \(height) pixels")
            }
            return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        }
        about = try JSONDecoder().decode(
            About.self, from: Data(contentsOf: folder.appendingPathComponent("numbers.json")))
        let pixels = width * height
        original = Picture(width: width, height: height, planes: try read("original.f32", 3 * pixels))
        painted = Picture(width: width, height: height, planes: try read("painted.f32", 3 * pixels))
        noise = try read("noise.f32", 3 * pixels)
        mask = Mask(width: width, height: height, pixels: try read("mask.f32", pixels).map { $0 > 0 })
        expected = try read("result.f32", 3 * pixels)
    }

    /// Edits the pictures and says how far the result is from the engine's. Throws where that is too far.
    func check(_ network: Network) throws -> String {
        let sampler = try Sampler(steps: about.steps, strength: about.strength)
        var session = try Session(network, original, sampler, noise: noise)
        guard session.mask(painted) == mask else { throw Failure("the mask is another than the engine's") }
        let found = try session.edit(painted).planes
        var (wrong, all) = (0.0, 0.0)
        for (a, b) in zip(found, expected) {
            wrong += pow(Double(a) - Double(b), 2)
            all += pow(Double(b), 2)
        }
        let error = (wrong / all).squareRoot()
        let said = "the result differs from the engine's by \(error), at most \(about.bound)"
        guard error <= about.bound else { throw Failure(said) }  // NaN is no more than anything
        return said
    }
}
