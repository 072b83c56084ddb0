import CoreML
import Foundation

/// What a package says of itself under the key "sige-mlx".
struct About: Decodable {
    struct Function: Decodable {
        let tiles: Int?
        let statistics: String?
    }

    struct Edit: Decodable {
        let eps: Float
        let dilation: Int
    }

    let model: String
    let family: String
    let task: String
    let image_size: [Int]
    let edit: Edit
    let functions: [String: Function]
}

/// What `record` gives of one call: outputs by name, which edits take as they are; or states that were filled with them.
struct Recording {
    let values: [String: MLFeatureValue]
    fileprivate(set) var states: [String: MLState] = [:]
}

/// The functions of a package. Each is a model of its own to Core ML, loaded when it is first called; they share weights.
final class Network {
    let about: About
    private let compiled: URL
    private let units: MLComputeUnits
    private var models: [String: MLModel] = [:]

    /// `compiled` is what `MLModel.compileModel(at:)` makes of a package. An app compiles once, and keeps that.
    init(compiled: URL, units: MLComputeUnits) throws {
        self.compiled = compiled
        self.units = units
        let described = try MLModel(contentsOf: compiled, configuration: MLModelConfiguration()).modelDescription
        let own = described.metadata[.creatorDefinedKey] as? [String: String]
        guard let text = own?["sige-mlx"] else {
            throw Failure("the package says nothing of itself: sige-mlx export writes such as do")
        }
        about = try JSONDecoder().decode(About.self, from: Data(text.utf8))
    }

    /// Edits have functions for so many tiles of every plane.
    var buckets: [Int] {
        about.functions.values.compactMap(\.tiles).sorted()
    }

    private func model(_ name: String) throws -> MLModel {
        if let model = models[name] {
            return model
        }
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        configuration.functionName = name
        let model = try MLModel(contentsOf: compiled, configuration: configuration)
        models[name] = model
        return model
    }

    private func call(
        _ name: String, _ given: [String: MLFeatureValue], state: MLState? = nil
    ) throws -> [String: MLFeatureValue] {
        let model = try self.model(name)
        let taken = given.filter { model.modelDescription.inputDescriptionsByName[$0.key] != nil }
        let inputs = try MLDictionaryFeatureProvider(dictionary: taken)
        let outputs: MLFeatureProvider
        if let state {
            outputs = try model.prediction(from: inputs, using: state)
        } else {
            outputs = try model.prediction(from: inputs)
        }
        var found: [String: MLFeatureValue] = [:]
        for of in outputs.featureNames {
            found[of] = outputs.featureValue(for: of)
        }
        return found
    }

    /// Records the original: an edit at the same inputs besides the picture reads it.
    func record(_ inputs: [String: MLFeatureValue]) throws -> Recording {
        Recording(values: try call("record", inputs))
    }

    /// Lists of the tiles that see a mask, which is dilated, for any edit of it.
    func lists(_ mask: Mask) throws -> [String: MLFeatureValue] {
        let shape = [1, 1, mask.height, mask.width]
        return try call("tiles", ["mask": array(mask.pixels.map { $0 ? 1 : 0 }, shape)])
    }

    /// The smallest bucket that no plane's tiles exceed; nil where there is none. A function must not be given more
    /// tiles than it computes: it would read beyond its arrays.
    func bucket(_ lists: [String: MLFeatureValue]) -> Int? {
        let counts = lists.filter { $0.key.hasPrefix("count_") }.values
        let needed = counts.compactMap { $0.multiArrayValue?[0].intValue }.max() ?? 0
        return buckets.first { $0 >= needed }
    }

    /// The output on edited inputs. Where no bucket is large enough it is the dense pass where the edit is wanted, and
    /// what was recorded elsewhere.
    func edit(
        _ inputs: [String: MLFeatureValue], _ recording: inout Recording, _ lists: [String: MLFeatureValue]
    ) throws -> [Float] {
        guard let bucket = self.bucket(lists) else {
            let dense = try output(call("dense", inputs))
            let recorded = try output(recording.values)
            let edited = try floats(lists["edited"], "edited")
            return dense.indices.map { edited[$0 % edited.count] > 0 ? dense[$0] : recorded[$0] }
        }
        let name = "edit_\(bucket)"
        var given = recording.values.merging(inputs) { $1 }
        if about.functions[name]?.statistics == "estimated" {
            let estimated = try call("estimate", given)
            given.merge(estimated) { $1 }
        }
        let description = try self.model(name).modelDescription
        for (of, list) in lists {
            guard let taken = description.inputDescriptionsByName[of]?.multiArrayConstraint,
                let all = list.multiArrayValue
            else { continue }
            let first = MLShapedArray<Int32>(all)[0..<taken.shape[0].intValue]
            given[of] = MLFeatureValue(multiArray: MLMultiArray(first))
        }
        return try output(call(name, given, state: state(name, of: &recording, given)))
    }

    /// States that hold a recording, filled when an edit first reads it; nil for packages without.
    private func state(
        _ name: String, of recording: inout Recording, _ given: [String: MLFeatureValue]
    ) throws -> MLState? {
        let model = try self.model(name)
        let names = model.modelDescription.stateDescriptionsByName.keys
        if names.isEmpty {
            return nil
        }
        if let state = recording.states[name] {
            return state
        }
        let state = model.makeState()
        for of in names {
            guard let source = given[of]?.multiArrayValue else { throw Failure("\(of) was not recorded") }
            state.withMultiArray(for: of) { source.transfer(to: $0) }
        }
        recording.states[name] = state
        return state
    }

    private func output(_ outputs: [String: MLFeatureValue]) throws -> [Float] {
        try floats(outputs["output"], "output")
    }
}

/// An array as a function takes it.
func array(_ values: [Float], _ shape: [Int]) -> MLFeatureValue {
    MLFeatureValue(shapedArray: MLShapedArray<Float>(scalars: values, shape: shape))
}

/// The numbers of an array, in order, whatever their type and however they are stored.
func floats(_ value: MLFeatureValue?, _ name: String) throws -> [Float] {
    guard let array = value?.multiArrayValue else { throw Failure("the package gives no array \(name)") }
    return MLShapedArray<Float>(converting: array).scalars
}
