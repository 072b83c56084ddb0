/// Which pixels an edit recomputes, row by row.
struct Mask: Equatable {
    let width: Int
    let height: Int
    var pixels: [Bool]

    init(width: Int, height: Int, pixels: [Bool]) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// The pixels at which some channel of two pictures differs by more than `eps`, of the range from -1 to 1.
    init(between original: Picture, and edited: Picture, eps: Float) {
        let count = original.width * original.height
        var pixels = [Bool](repeating: false, count: count)
        for (i, (before, after)) in zip(original.planes, edited.planes).enumerated() where abs(before - after) > eps {
            pixels[i % count] = true
        }
        self.init(width: original.width, height: original.height, pixels: pixels)
    }

    /// The mask grown by a plus: every pixel reaches so many pixels along its row and along its column.
    func dilated(by radius: Int) -> Mask {
        var grown = self
        for y in 0..<height {
            for x in 0..<width where pixels[y * width + x] {
                for other in max(0, x - radius)...min(width - 1, x + radius) {
                    grown.pixels[y * width + other] = true
                }
                for other in max(0, y - radius)...min(height - 1, y + radius) {
                    grown.pixels[other * width + x] = true
                }
            }
        }
        return grown
    }

    var isEmpty: Bool {
        !pixels.contains(true)
    }

    /// The pixels of one plane where the mask is, of another elsewhere, in each of three planes.
    func select(_ inside: [Float], _ outside: [Float]) -> [Float] {
        var chosen = outside
        for i in chosen.indices where pixels[i % pixels.count] {
            chosen[i] = inside[i]
        }
        return chosen
    }
}
