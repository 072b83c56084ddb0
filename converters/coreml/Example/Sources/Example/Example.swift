import CoreML
import Foundation

@main
struct Example {
    static let usage = """
        usage: Example PACKAGE ORIGINAL PAINTED RESULT [--units cpu|gpu|neural|all] [--steps N]
               Example PACKAGE --check NUMBERS [--units cpu|gpu|neural|all]
        """

    static func main() async {
        do {
            var arguments = Array(CommandLine.arguments.dropFirst())
            let units = try Example.units(take("--units", from: &arguments) ?? "all")
            let numbers = take("--check", from: &arguments)
            guard let steps = Int(take("--steps", from: &arguments) ?? "20"),
                arguments.count == (numbers == nil ? 4 : 1)
            else { throw Failure(usage) }
            let compiled = try await MLModel.compileModel(at: URL(fileURLWithPath: arguments[0]))
            defer { try? FileManager.default.removeItem(at: compiled) }
            let network = try Network(compiled: compiled, units: units)
            if let numbers {
                print(try Numbers(URL(fileURLWithPath: numbers), network).check(network))
            } else {
                try edit(network, arguments[1...].map { URL(fileURLWithPath: $0) }, steps)
            }
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }

    static func edit(_ network: Network, _ files: [URL], _ steps: Int) throws {
        let (original, painted) = (try Picture(contentsOf: files[0]), try Picture(contentsOf: files[1]))
        guard (painted.width, painted.height) == (original.width, original.height) else {
            throw Failure("the pictures have different sizes")
        }
        var random = Normal(seed: 0)
        let noise = original.planes.map { _ in random.next() }
        var session = try Session(network, original, Sampler(steps: steps, strength: 0.5), noise: noise)
        let start = Date()
        try session.edit(painted, tell: { print($0) }).write(to: files[2])
        print("recorded and edited in \(Date().timeIntervalSince(start)) s")
    }

    /// The value of an option, which is then no longer among the arguments.
    static func take(_ option: String, from arguments: inout [String]) -> String? {
        guard let at = arguments.firstIndex(of: option), at + 1 < arguments.count else { return nil }
        defer { arguments.removeSubrange(at...at + 1) }
        return arguments[at + 1]
    }

    static func units(_ name: String) throws -> MLComputeUnits {
        let known: [String: MLComputeUnits] = [
            "cpu": .cpuOnly, "gpu": .cpuAndGPU, "neural": .cpuAndNeuralEngine, "all": .all,
        ]
        guard let units = known[name] else { throw Failure("units \(name) are none: cpu, gpu, neural or all") }
        return units
    }
}

/// Normal noise that is the same at every run (SplitMix64, and Box and Muller's transform).
struct Normal {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    private mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return (Double((z ^ (z >> 31)) >> 11) + 0.5) / 9_007_199_254_740_992  // 2 to the power of 53
    }

    mutating func next() -> Float {
        let (radius, angle) = ((-2 * log(uniform())).squareRoot(), 2 * Double.pi * uniform())
        return Float(radius * cos(angle))
    }
}
