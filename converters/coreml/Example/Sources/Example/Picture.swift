import CoreGraphics
import Foundation
import ImageIO
import UniformTypeIdentifiers

/// Something that the user should read.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A picture as networks have it: three planes, red, green and blue, of values from -1 to 1, row by row from the top.
struct Picture {
    let width: Int
    let height: Int
    var planes: [Float]

    init(width: Int, height: Int, planes: [Float]) {
        self.width = width
        self.height = height
        self.planes = planes
    }

    /// Opens a file of any format that the system knows, in sRGB and on white.
    init(contentsOf url: URL) throws {
        guard let source = CGImageSourceCreateWithURL(url as CFURL, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw Failure("\(url.path) cannot be opened as a picture") }
        let (width, height) = (image.width, image.height)
        var bytes = [UInt8](repeating: 255, count: 4 * width * height)
        let drawn = bytes.withUnsafeMutableBytes { buffer -> Bool in
            guard let context = Picture.context(buffer.baseAddress, width, height) else { return false }
            let area = CGRect(x: 0, y: 0, width: width, height: height)
            context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
            context.fill(area)
            context.draw(image, in: area)
            return true
        }
        guard drawn else { throw Failure("\(url.path) cannot be drawn: it has \(width) x \(height) pixels") }
        let pixels = width * height
        var planes = [Float](repeating: 0, count: 3 * pixels)
        for channel in 0..<3 {
            for pixel in 0..<pixels {
                planes[channel * pixels + pixel] = Float(bytes[4 * pixel + channel]) / 127.5 - 1
            }
        }
        self.init(width: width, height: height, planes: planes)
    }

    /// Writes the picture as PNG.
    func write(to url: URL) throws {
        guard planes.allSatisfy(\.isFinite) else { throw Failure("the picture holds values that are not finite") }
        let pixels = width * height
        var bytes = [UInt8](repeating: 255, count: 4 * pixels)
        for channel in 0..<3 {
            for pixel in 0..<pixels {
                let level = (planes[channel * pixels + pixel] * 127.5 + 127.5).rounded()
                bytes[4 * pixel + channel] = UInt8(min(max(level, 0), 255))
            }
        }
        let image = bytes.withUnsafeMutableBytes { buffer in
            Picture.context(buffer.baseAddress, width, height)?.makeImage()  // which copies the bytes
        }
        guard let image,
            let file = CGImageDestinationCreateWithURL(url as CFURL, UTType.png.identifier as CFString, 1, nil)
        else { throw Failure("\(url.path) cannot be written") }
        CGImageDestinationAddImage(file, image, nil)
        guard CGImageDestinationFinalize(file) else { throw Failure("\(url.path) cannot be written") }
    }

    /// Four bytes a pixel, of which the last is not used.
    private static func context(_ data: UnsafeMutableRawPointer?, _ width: Int, _ height: Int) -> CGContext? {
        guard let space = CGColorSpace(name: CGColorSpace.sRGB) else { return nil }
        return CGContext(
            data: data, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width, space: space,
            bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
    }
}
