// What is drawn over the picture at the screen's own density: fresh paint, the stroke under the pen, a variant one looks
// at, and the tiles that were recomputed.

import { $, on, store } from './store.js'
import { layers, variants } from './layers.js'
import { fresh } from './fresh.js'
import { area, draw } from './shapes.js'
import { view } from './view.js'

export const overlay = { stroke: null, pane: null, variant: null }

const FLASH = 1600 // milliseconds that tiles stay after a render
const scratch = document.createElement('canvas')
let flashed = -Infinity
let asked = false

/** Ends the show of tiles: who paints again wants the frames for that. */
export const unflash = () => { flashed = -Infinity }

export function redraw() {
  if (asked) return
  asked = true
  requestAnimationFrame(() => {
    asked = false
    for (const name of ['a', 'b']) {
      const pane = $(`pane-${name}`)
      if (!pane.hidden && store.doc) drawPane(pane, $(`over-${name}`), name === 'b')
    }
    if (performance.now() - flashed < FLASH) redraw()
  })
}

function sized(canvas, pane) {
  const [w, h] = [pane.clientWidth, pane.clientHeight].map(n => Math.max(1, Math.round(n * devicePixelRatio)))
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h })
  const context = canvas.getContext('2d')
  context.setTransform(1, 0, 0, 1, 0, 0)
  context.clearRect(0, 0, w, h)
  const k = devicePixelRatio
  context.setTransform(k * view.s, 0, 0, k * view.s, k * view.x, k * view.y)
  context.imageSmoothingEnabled = !$('stage-a').classList.contains('blocks')
  return context
}

function drawPane(pane, canvas, second) {
  const context = sized(canvas, pane)
  const { doc, mode, before } = store
  if (before) return
  const result = second || mode === 'result'
  context.save()
  context.beginPath()
  const from = result && store.slider !== null ? store.slider * doc.w : 0
  context.rect(from, 0, doc.w - from, doc.h)
  context.clip()
  if (!second && mode === 'result' && (doc.result || doc.kind === 'labels') && fresh.shapes.length) reveal(context, pane, fresh.shapes, layers.canvas)
  if (result && overlay.variant !== null) for (const { x, y, picture } of variants[overlay.variant] ?? []) context.drawImage(picture, x, y)
  const strokes = [...fresh.waiting, ...(overlay.stroke ? [overlay.stroke] : [])]
  if (!second || overlay.pane === pane) {
    for (const stroke of strokes) {
      if (stroke.tool === 'eraser') reveal(context, pane, [stroke], layers.original)
      else draw(context, stroke)
    }
  }
  context.restore()
  if (overlay.stroke?.tool === 'lasso' && (!second || overlay.pane === pane)) edge(context, overlay.stroke)
  if (result) drawTiles(context)
}

/** Draws a layer where shapes are. */
function reveal(context, pane, shapes, layer) {
  const masked = sized(scratch, pane)
  shapes.forEach(shape => masked.fill(area(shape)))
  masked.globalCompositeOperation = 'source-in'
  masked.drawImage(layer, 0, 0)
  masked.globalCompositeOperation = 'source-over'
  context.save()
  context.setTransform(1, 0, 0, 1, 0, 0)
  context.drawImage(scratch, 0, 0)
  context.restore()
}

function edge(context, shape) {
  context.lineWidth = 1.5 / view.s
  context.strokeStyle = '#fff'
  context.stroke(area(shape))
}

/** The active tiles, each a pane of glass: for a moment after a render, or as long as they are asked for. */
function drawTiles(context) {
  const { tiles } = store.doc
  const left = store.tiles ? 1 : 1 - (performance.now() - flashed) / FLASH
  if (!tiles?.active || left <= 0) return
  const { size, x, y, w, h, active } = tiles
  const path = new Path2D()
  for (const [row, column] of active) {
    const [u, v] = [x + column * size, y + row * size]
    path.rect(u, v, Math.min(size, x + w - u), Math.min(size, y + h - v))
  }
  context.globalAlpha = Math.min(1, left * 1.6)
  context.fillStyle = 'rgb(255 72 140 / 0.16)'
  context.fill(path)
  if (size * view.s >= 3) {
    context.lineWidth = 1 / view.s
    context.strokeStyle = 'rgb(255 92 152 / 0.85)'
    context.stroke(path)
  }
  if (store.tiles) {
    context.setLineDash([5 / view.s, 4 / view.s])
    context.lineWidth = 1 / view.s
    context.strokeStyle = 'rgb(255 255 255 / 0.7)'
    context.strokeRect(x, y, w, h)
    context.setLineDash([])
  }
  context.globalAlpha = 1
}

export function start() {
  for (const change of ['view', 'overlay', 'pixels', 'tiles']) on(change, redraw)
  on('rendered', () => {
    flashed = performance.now()
    redraw()
  })
  on('document', () => {
    Object.assign(overlay, { stroke: null, pane: null, variant: null })
    redraw()
  })
}
