// What a tool draws, as geometry in pixels of the picture: {tool, radius, hardness, colour, points: [x, y, pressure, …]}.
// The server makes the pixels; what is drawn here stands in for them until they come.

export const TOOLS = { brush: 0, eraser: 1, line: 2, rectangle: 3, lasso: 4 }
const RINGS = 7 // of which a soft edge is made

/** The outline of a stroke whose radius is scaled by `share`: a capsule for every piece, all wound the same way. */
function outline({ tool, radius, points }, share = 1) {
  const path = new Path2D()
  const of = i => Math.max(0.5, radius * share * (tool === 'line' ? 1 : points[i + 2]))
  for (let i = 0; i < points.length; i += 3) {
    const [x, y, r] = [points[i], points[i + 1], of(i)]
    path.moveTo(x + r, y)
    path.arc(x, y, r, 0, 2 * Math.PI)
    if (!i) continue
    const [px, py, pr] = [points[i - 3], points[i - 2], of(i - 3)]
    const length = Math.hypot(x - px, y - py)
    if (!length) continue
    const [nx, ny] = [(y - py) / length, (px - x) / length]
    path.moveTo(px + nx * pr, py + ny * pr)
    path.lineTo(x + nx * r, y + ny * r)
    path.lineTo(x - nx * r, y - ny * r)
    path.lineTo(px - nx * pr, py - ny * pr)
    path.closePath()
  }
  return path
}

/** The area that a shape covers, soft edges included. */
export function area(shape) {
  const { tool, points, rectangle } = shape
  const path = new Path2D()
  if (rectangle) path.rect(...rectangle)
  else if (tool === 'rectangle') {
    const [x, y] = points
    const [u, v] = points.slice(-3)
    path.rect(Math.min(x, u), Math.min(y, v), Math.abs(u - x), Math.abs(v - y))
  } else if (tool === 'lasso') {
    for (let i = 0; i < points.length; i += 3) path.lineTo(points[i], points[i + 1])
    path.closePath()
  } else return outline(shape)
  return path
}

/** Draws a shape in its colour, with its soft edge. */
export function draw(context, shape) {
  context.fillStyle = shape.colour
  const soft = shape.hardness < 1 && (shape.tool === 'brush' || shape.tool === 'line')
  if (!soft) return context.fill(area(shape))
  let covered = 0
  for (let ring = 0; ring < RINGS; ring++) {
    const wanted = (ring + 1) / RINGS
    context.globalAlpha = (wanted - covered) / (1 - covered)
    context.fill(outline(shape, 1 - (1 - shape.hardness) * (ring / (RINGS - 1))))
    covered = wanted
  }
  context.globalAlpha = 1
}

/** A stroke as the server takes it. `value` is [r, g, b] or [label]; flags: 1 renders, 2 more follows. */
export function encode(shape, seq, flags, value, points = shape.points) {
  const data = new ArrayBuffer(16 + points.length * 4)
  const view = new DataView(data)
  ;[1, TOOLS[shape.tool], Math.round(shape.hardness * 255), flags].forEach((byte, at) => view.setUint8(at, byte))
  view.setUint32(4, seq, true)
  view.setFloat32(8, shape.radius, true)
  value.forEach((byte, at) => view.setUint8(12 + at, byte))
  points.forEach((number, at) => view.setFloat32(16 + at * 4, number, true))
  return data
}
