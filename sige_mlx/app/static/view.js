// Where the picture is on the screen: one mapping of coordinates, for every zoom, both panes and every pixel density.
// A point of the picture (x, y) is at (view.x + x * view.s, view.y + y * view.s) in CSS pixels of its pane.

import { $, emit, on, store } from './store.js'

export const view = { s: 1, x: 0, y: 0, fitted: true }

const panes = () => $('panes')
const shown = () => [$('pane-a'), $('pane-b')].filter(pane => !pane.hidden)

/** The point of the picture under a pointer. */
export function toPicture(pane, { clientX, clientY }) {
  const at = pane.getBoundingClientRect()
  return [(clientX - at.left - view.x) / view.s, (clientY - at.top - view.y) / view.s]
}

/** What is left of a pane beside the deck that floats over it. */
function room() {
  const pane = shown()[0].getBoundingClientRect()
  const deck = $('deck').getBoundingClientRect()
  const low = Math.min(pane.height / 3, deck.height ? deck.height + 12 : 0)
  return { w: pane.width, h: Math.max(40, pane.height - low) }
}

function fitScale() {
  const { w, h } = room()
  const margin = w < 560 ? 12 : 28
  return Math.min((w - 2 * margin) / store.doc.w, (h - 2 * margin) / store.doc.h, 24)
}

export function fit() {
  if (!store.doc) return
  const { w, h } = room()
  const s = Math.max(fitScale(), 0.01)
  place(s, (w - store.doc.w * s) / 2, (h - store.doc.h * s) / 2, true)
}

/** One pixel of the picture to one of the screen, around the middle of the pane. */
export function actual() {
  zoomTo(1 / devicePixelRatio)
}

/** Zooms to a scale, and keeps the point where it is: CSS pixels of the pane, its middle where none is given. */
export function zoomTo(s, point = null) {
  if (!store.doc) return
  const { w, h } = room()
  const [px, py] = point ?? [w / 2, h / 2]
  const most = 64
  const least = Math.min(fitScale() / 4, 1 / devicePixelRatio)
  const to = Math.min(most, Math.max(least, s))
  const k = to / view.s
  place(to, px - (px - view.x) * k, py - (py - view.y) * k)
}

export const zoomBy = (k, point) => zoomTo(view.s * k, point)
export const panBy = (dx, dy) => place(view.s, view.x + dx, view.y + dy)

function place(s, x, y, fitted = false) {
  const { w, h } = room()
  const keep = 48 // pixels of the picture that stay in sight
  Object.assign(view, {
    s,
    x: Math.min(w - keep, Math.max(keep - store.doc.w * s, x)),
    y: Math.min(h - keep, Math.max(keep - store.doc.h * s, y)),
    fitted,
  })
  const blocks = s * devicePixelRatio >= 4 && !smooth(store.doc)
  for (const stage of [$('stage-a'), $('stage-b')]) {
    stage.style.transform = `translate(${view.x}px, ${view.y}px) scale(${s})`
    stage.classList.toggle('blocks', blocks)
  }
  panes().style.setProperty('--s', s)
  emit('view')
}

/** Maps have hard borders at any zoom; photographs are shown smooth until their pixels are what one looks for. */
const smooth = doc => doc.kind === 'picture' && view.s < fitScale() * 2

export const zoomPercent = () => view.s * devicePixelRatio * 100

export function start() {
  new ResizeObserver(() => {
    if (!store.doc) return
    if (view.fitted) fit()
    else place(view.s, view.x, view.y)
  }).observe(panes())
  on('opened', fit)
  on('mode', () => requestAnimationFrame(() => store.doc && view.fitted && fit()))
}
