// What was painted since the last result, which is seen on top of it. Own strokes are known by their shape; of what
// another tab painted, or what was there before a reload, the server tells the box.

import { emit, on, store } from './store.js'

const own = new Map() // shapes that were sent, by their number
const parts = new Map() // how many parts of strokes were sent that are not all yet, by their number
const boxes = new Map() // rectangles of the canvas that came for a number

export const fresh = {
  shapes: [],
  /** Strokes of this tab that the server has not drawn yet. */
  get waiting() { return [...own.values()].filter(shape => !shape.rectangle) },
  sent(seq, shape) { own.set(seq, shape) },
  part(seq) { parts.set(seq, (parts.get(seq) ?? 0) + 1) },
  received(seq, box) { if (own.get(seq)?.rectangle) boxes.set(seq, box) },
}

export function start() {
  on('message', message => {
    if (message.t !== 'error') return
    parts.delete(message.seq)
    if (own.delete(message.seq)) emit('overlay')
  })
  on('document', () => {
    own.clear()
    parts.clear()
    fresh.shapes = store.doc?.stale ? [{ rectangle: store.doc.stale }] : []
  })
  on('state', ({ seq, revised }) => {
    if (parts.get(seq) > 0) return void parts.set(seq, parts.get(seq) - 1)
    const shape = own.get(seq)
    own.delete(seq)
    const { stale } = store.doc
    if (!stale) fresh.shapes = []
    else if (shape) fresh.shapes.push(shape.rectangle ? { rectangle: boxes.get(seq) ?? stale } : shape)
    else if (revised) fresh.shapes = [{ rectangle: stale }]
    boxes.clear()
    emit('overlay')
  })
}
