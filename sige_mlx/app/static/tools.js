// What pointers do on the picture: mouse, pen and fingers paint, pick, fill, pan and zoom.

import { $, emit, on, store } from './store.js'
import { brush, colour, hardness, picked, used, value } from './brush.js'
import { command, number, send } from './connection.js'
import { fresh } from './fresh.js'
import { overlay, redraw, unflash } from './overlay.js'
import { TOOLS, encode } from './shapes.js'
import { panBy, toPicture, view, zoomBy } from './view.js'

const PART = 4000 // points that are sent at once, of a stroke that is still being drawn
const SWEPT = 1 << 17 // pixels that it covers until a part is sent: the server has less to do when the pen lifts
const MOST = 19_000

const pointers = new Map() // those that are down, by their id
let drawing = null // the stroke under the pen: {id, pane, shape, seq, sent}
let panning = null
let penSeen = false // fingers move the picture where a pen paints
let lastPoint = null // for straight lines with Shift
let space = false

export const busy = () => Boolean(drawing)

function down(event) {
  const pane = event.currentTarget
  if (!store.doc) return
  pane.focus({ preventScroll: true })
  pane.setPointerCapture(event.pointerId)
  pointers.set(event.pointerId, [event.clientX, event.clientY])
  penSeen ||= event.pointerType === 'pen'
  if (event.pointerType === 'touch' && pointers.size === 2) return pinch()
  if (pointers.size > 1) return
  const pans = event.button === 1 || space || store.tool === 'hand' || (penSeen && event.pointerType === 'touch')
  event.preventDefault()
  if (pans) {
    panning = event.pointerId
    $('panes').classList.add('panning')
  } else if (event.button === 0 || event.button === 5) {
    const [x, y] = toPicture(pane, event)
    if (event.altKey || store.tool === 'pick') pick(x, y)
    else if (store.tool === 'bucket') fill(x, y)
    else begin(event, pane, x, y, event.button === 5)
  }
}

/** A second finger ends the stroke of the first, which was meant to pan. */
function pinch() {
  abandon()
  panning = null
}

function begin(event, pane, x, y, erases) {
  const tool = erases ? 'eraser' : store.tool
  const shape = { tool, radius: brush.diameter / 2, hardness: hardness(), colour: colour(), points: [] }
  drawing = { id: event.pointerId, pane, shape, seq: number(), sent: 0, swept: 0, value: value(), straight: tool === 'line' || tool === 'rectangle' }
  Object.assign(overlay, { stroke: shape, pane })
  unflash()
  if (event.shiftKey && lastPoint && TOOLS[tool] < 2) shape.points.push(...lastPoint, 1)
  add(event, x, y)
}

const pressure = event => event.pointerType !== 'pen' || !brush.pressure ? 1 : Math.max(0.05, event.pressure)

function add(event, x, y) {
  const { shape, straight } = drawing
  const { points } = shape
  const p = TOOLS[shape.tool] < 2 ? pressure(event) : 1
  if (straight && points.length) {
    points.splice(3, 3, ...square(shape, points, [x, y], event.shiftKey), 1)
  } else {
    const near = points.length && Math.hypot(x - points.at(-3), y - points.at(-2)) < Math.max(0.25, 0.35 / view.s)
    if (near && Math.abs(p - points.at(-1)) < 0.02) return
    if (shape.tool === 'lasso' && points.length >= MOST * 3) return
    if (points.length) drawing.swept += 2 * shape.radius * Math.hypot(x - points.at(-3), y - points.at(-2))
    points.push(x, y, p)
  }
  const whole = points.length / 3
  if (TOOLS[shape.tool] < 2 && (whole - drawing.sent >= PART || drawing.swept >= SWEPT)) {
    fresh.part(drawing.seq)
    send(encode(shape, drawing.seq, 2, drawing.value, points.slice(drawing.sent * 3)))
    drawing.sent = whole - 1 // the next part begins where this ended
    drawing.swept = 0
  }
  redraw()
}

/** The end of a line or a rectangle, with Shift at a multiple of 45° or as a square. */
function square({ tool }, [x, y], [u, v], shift) {
  if (!shift) return [u, v]
  const [dx, dy] = [u - x, v - y]
  if (tool === 'rectangle') {
    const side = Math.max(Math.abs(dx), Math.abs(dy))
    return [x + Math.sign(dx) * side, y + Math.sign(dy) * side]
  }
  const angle = Math.round(Math.atan2(dy, dx) / (Math.PI / 4)) * (Math.PI / 4)
  const length = Math.hypot(dx, dy)
  return [x + Math.cos(angle) * length, y + Math.sin(angle) * length]
}

function move(event) {
  const pane = event.currentTarget
  hover(pane, event)
  const before = pointers.get(event.pointerId)
  if (!before) return
  pointers.set(event.pointerId, [event.clientX, event.clientY])
  if (drawing?.id === event.pointerId) {
    const coalesced = event.getCoalescedEvents?.() ?? []
    for (const one of coalesced.length ? coalesced : [event]) add(one, ...toPicture(drawing.pane, one))
  } else if (panning === event.pointerId) {
    panBy(event.clientX - before[0], event.clientY - before[1])
  } else if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at)
    const at = pane.getBoundingClientRect()
    const middle = ([x, y]) => [(x + other[0]) / 2 - at.left, (y + other[1]) / 2 - at.top]
    const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]))
    const now = [event.clientX, event.clientY]
    const [was, is] = [middle(before), middle(now)]
    panBy(is[0] - was[0], is[1] - was[1])
    zoomBy(apart(now) / apart(before), is)
  }
}

function up(event) {
  if (!pointers.delete(event.pointerId)) return
  if (panning === event.pointerId) {
    panning = null
    $('panes').classList.remove('panning')
  }
  if (drawing?.id === event.pointerId) finish()
}

function finish() {
  const { shape, seq, sent, value } = drawing
  drawing = overlay.stroke = null
  const { points } = shape
  if (shape.tool !== 'lasso' || points.length >= 9) {
    performance.mark('pen up', { detail: seq })
    fresh.sent(seq, shape)
    send(encode(shape, seq, store.live ? 1 : 0, value, points.slice(sent * 3)))
    lastPoint = points.slice(-3, -1)
    if (shape.tool !== 'eraser') used()
  }
  if (shape.tool === 'lasso') redraw() // others look the same until the server's pixels come
}

/** Gives a stroke up; parts that were sent are taken back. */
export function abandon() {
  if (!drawing) return false
  const { seq, sent } = drawing
  drawing = overlay.stroke = null
  if (sent) send({ t: 'abandon', seq })
  redraw()
  return true
}

function pick(x, y) {
  const layer = store.mode === 'paint' || store.doc.palette || !store.doc.result ? 'canvas' : 'result'
  command('pick', { x, y, layer })
}

function fill(x, y) {
  const seq = command('fill', { x, y, value: value(), tolerance: brush.tolerance, render: store.live })
  fresh.sent(seq, { rectangle: [0, 0, 0, 0] })
  used()
}

/** The ring around what the brush covers, and the place in the status line. */
function hover(pane, event) {
  if (!store.doc) return
  const [x, y] = toPicture(pane, event)
  const inside = x >= 0 && y >= 0 && x < store.doc.w && y < store.doc.h
  $('place').textContent = inside ? `${Math.floor(x)}, ${Math.floor(y)}` : ''
  const ring = $('ring')
  const across = brush.diameter * view.s
  const rings = ['brush', 'eraser', 'line'].includes(store.tool) && event.pointerType !== 'touch' && across > 7 && panning === null
  ring.hidden = !rings
  $('panes').classList.toggle('ringed', rings)
  const at = $('panes').getBoundingClientRect()
  ring.style.transform = `translate(${event.clientX - at.left - across / 2}px, ${event.clientY - at.top - across / 2}px)`
  ring.style.width = ring.style.height = `${across}px`
}

function wheel(event) {
  event.preventDefault()
  if (!store.doc) return
  const at = event.currentTarget.getBoundingClientRect()
  const unit = event.deltaMode === 1 ? 24 : 1
  if (event.shiftKey) panBy(-(event.deltaX || event.deltaY) * unit, 0)
  else zoomBy(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), [event.clientX - at.left, event.clientY - at.top])
}

export function start() {
  for (const pane of [$('pane-a'), $('pane-b')]) {
    pane.addEventListener('pointerdown', down)
    pane.addEventListener('pointermove', move)
    pane.addEventListener('pointerup', up)
    pane.addEventListener('pointercancel', up)
    pane.addEventListener('lostpointercapture', up)
    pane.addEventListener('pointerleave', () => { $('ring').hidden = true })
    pane.addEventListener('wheel', wheel, { passive: false })
    pane.addEventListener('contextmenu', event => event.preventDefault())
  }
  const hold = held => event => {
    if (event.key !== ' ' || /^(BUTTON|INPUT|SELECT|SUMMARY)$/.test(event.target.tagName)) return
    if (held) event.preventDefault()
    space = held
    $('panes').classList.toggle('pannable', held)
  }
  addEventListener('keydown', hold(true))
  addEventListener('keyup', hold(false))
  addEventListener('blur', () => { space = false; $('panes').classList.remove('pannable') })
  on('message', message => {
    if (message.t === 'picked') picked(message)
  })
  on('tool', () => emit('overlay'))
}
