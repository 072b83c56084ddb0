// swift-tools-version: 5.9

import PackageDescription

let package = Package(
    name: "Example",
    platforms: [.macOS("15.0")],  // one package of several functions needs it
    targets: [.executableTarget(name: "Example")]
)
