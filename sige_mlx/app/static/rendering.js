// The bar under the picture: rendering, what runs, and what becomes of a result; above it the results of several seeds.

import { $, emit, habits, make, on, store, toast } from './store.js'
import { layers, variants } from './layers.js'
import { command, send } from './connection.js'
import { overlay, redraw } from './overlay.js'

const WORDS = { open: 'Opening', record: 'Recording the original', edit: 'Rendering', dense: 'Rendering everything', commit: 'Keeping' }
const THUMB = 104 // CSS pixels
let ends = null

const seedOf = () => store.doc.settings.seed
/** Renders by words take too long for strokes to ask for one, and for several at once. */
const quick = () => store.doc.settings.prompt === null
const count = () => quick() ? +$('count').value : 1
/** Other seeds than the one that is set, as many as results are wanted at once. */
const seeds = first => Array.from({ length: count() }, (_, i) => (first + i) % 2 ** 32)

/** Short enough to be told to somebody. */
export const anySeed = () => Math.floor(Math.random() * 100_000)

/** Opening may be waited for, and something be asked for meanwhile. */
const rendering = () => store.doc.pending?.what === 'render'

const painted = () => store.doc.edited > 0
/** A result that shows all that is painted. */
const settled = () => store.doc.proposed && !store.doc.stale

export function render() {
  if (!store.doc || !painted()) return
  if (seedOf() !== null && count() > 1) command('render', { seeds: seeds(seedOf()) })
  else command('render')
}

export function again() {
  if (!store.doc || seedOf() === null || !painted()) return
  const seed = anySeed()
  if (count() > 1) command('render', { seeds: seeds(seed) })
  else {
    command('settings', { seed })
    command('render')
  }
}

export const accept = () => store.doc?.proposed && command('accept')
export const reject = () => store.doc && (store.doc.proposed || painted()) && command('reject')
export const cancel = () => send({ t: 'cancel' })

/** Enter: renders what is painted, or keeps what was rendered. */
export function enter() {
  if (!store.doc || rendering()) return
  if (settled()) accept()
  else render()
}

/** Esc: stops what runs, or takes back the result, or the paint. */
export function escape() {
  if (store.doc && rendering()) cancel()
  else reject()
}

export function setBefore(held) {
  if (!store.doc || store.before === held) return
  store.before = held
  emit('before')
}

/** What the server told of that which runs, not of what ran before: a render, or the opening that it waits for. */
function progressed() {
  const { progress, doc } = store
  return progress && doc?.pending && [doc.pending.seq, 0].includes(progress.seq) ? progress : null
}

function show() {
  const { doc } = store
  if (!doc) return
  const running = rendering()
  if (running && !progressed()) return showProgress() // the server tells of what takes longer than a moment
  const rendered = doc.proposed && !running
  $('deck').dataset.state = running ? 'running' : settled() ? 'settled' : painted() ? 'painted' : 'idle'
  $('progress').hidden = !doc.pending
  $('cancel').hidden = !running
  $('render').hidden = running || settled() || !painted()
  $('accept').hidden = !rendered || !settled()
  $('reject').hidden = running || (!doc.proposed && !painted())
  $('reject').querySelector('span').textContent = doc.proposed ? 'Reject' : 'Clear'
  $('peek').hidden = !rendered
  $('again').hidden = !rendered || seedOf() === null || !settled()
  $('live-label').hidden = !quick()
  $('hint').hidden = doc.pending || painted() || doc.proposed
  $('hint').textContent = doc.kind === 'labels' ? 'Choose a class and paint it into the map' : 'Paint what you want to see, roughly'
  if (!doc.pending) store.progress = null
  showProgress()
}

function showProgress() {
  const { doc } = store
  if (!doc?.pending) return
  const progress = progressed()
  const words = WORDS[progress?.what ?? (doc.pending.what === 'open' ? 'open' : 'edit')]
  const counted = progress?.steps > 1
  $('progress-text').textContent = `${words}${counted ? ` · step ${progress.step} of ${progress.steps}` : '…'}`
  $('progress-bar').max = progress?.steps ?? 1
  $('progress-bar').value = progress?.step ?? 0
  $('progress-bar').hidden = !counted
}

function showStrip() {
  const list = store.doc?.variants ?? []
  const wanted = list.length > 1
  if ($('strip').hidden === wanted) {
    $('strip').hidden = !wanted
    emit('mode')
  }
  if (!wanted) return $('strip').replaceChildren()
  if ($('strip').children.length !== list.length) $('strip').replaceChildren(...list.map(thumb))
  list.forEach(({ seed, chosen }, i) => {
    const button = $('strip').children[i]
    button.setAttribute('aria-checked', chosen)
    button.setAttribute('aria-label', `Seed ${seed}`)
    button.tabIndex = chosen ? 0 : -1
    button.querySelector('span').textContent = seed
    drawThumb(button.querySelector('canvas'), i)
  })
}

function thumb(_, i) {
  const button = make('button', { className: 'variant', role: 'radio', onclick: () => command('choose', { variant: i }) }, make('canvas'), make('span'))
  const look = at => () => { overlay.variant = at; redraw() }
  button.onpointerenter = look(i)
  button.onpointerleave = look(null)
  button.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    event.stopPropagation()
    const next = (i + step + store.doc.variants.length) % store.doc.variants.length
    command('choose', { variant: next })
    $('strip').children[next].focus()
  }
  return button
}

/** The place of the edit and a little around it, so that small edits of large pictures can be told apart. */
function drawThumb(canvas, i) {
  const { w, h } = store.doc
  const boxes = variants.flat()
  if (!boxes.length) return
  const [left, top] = [Math.min(...boxes.map(box => box.x)), Math.min(...boxes.map(box => box.y))]
  const [right, low] = [Math.max(...boxes.map(box => box.x + box.w)), Math.max(...boxes.map(box => box.y + box.h))]
  const side = Math.min(Math.max(right - left, low - top) * 1.3, Math.max(w, h))
  const [x, y] = [(left + right - side) / 2, (top + low - side) / 2].map((from, at) => Math.max(0, Math.min(from, (at ? h : w) - side)))
  const size = Math.round(THUMB * devicePixelRatio)
  Object.assign(canvas, { width: size, height: size })
  const context = canvas.getContext('2d')
  context.setTransform(size / side, 0, 0, size / side, -x * size / side, -y * size / side)
  context.drawImage(store.doc.kind === 'labels' ? layers.result : layers.original, 0, 0)
  for (const box of variants[i] ?? []) context.drawImage(box.picture, box.x, box.y)
}

/** How long it took from the end of the stroke, or the request, until the pixels were there to be shown. */
function measure({ seq, figures }) {
  const [mark] = performance.getEntriesByName('pen up').filter(entry => entry.detail === seq)
  if (!mark) return
  requestAnimationFrame(() => {
    performance.measure('pen up to pixels', { start: mark.startTime, detail: { seq, ms: figures.ms, engine_ms: figures.engine_ms } })
    performance.clearMarks('pen up')
  })
}

export function start() {
  $('render').onclick = render
  $('accept').onclick = accept
  $('reject').onclick = reject
  $('again').onclick = again
  $('cancel').onclick = cancel
  const peek = held => event => {
    if (event.type.startsWith('key') && event.key !== ' ' && event.key !== 'Enter') return
    event.preventDefault()
    setBefore(held)
  }
  for (const event of ['pointerdown', 'keydown']) $('peek').addEventListener(event, peek(true))
  for (const event of ['pointerup', 'pointerleave', 'pointercancel', 'keyup', 'blur']) $('peek').addEventListener(event, peek(false))
  $('count').value = habits.get('count', 1)
  $('count').onchange = () => habits.set('count', +$('count').value)
  store.live = $('live').checked = habits.get('live', false)
  $('live').onchange = () => habits.set('live', store.live = $('live').checked)
  on('message', message => {
    if (message.t === 'progress') {
      store.progress = message
      show()
    } else if (message.t === 'rendered') {
      message.notes?.forEach(note => toast(note, false))
      showStrip()
      measure(message)
      emit('rendered', message)
    } else if (message.t === 'cancelled') $('status').textContent = 'Stopped'
    else if (message.t === 'error') toast(message.why)
  })
  on('document', ({ doc }) => { // what ran before this page came takes longer than a moment
    store.progress = doc?.pending ? { seq: doc.pending.seq } : null
  })
  for (const change of ['state', 'opened']) {
    on(change, () => {
      show()
      showStrip()
    })
  }
  on('pixels', ({ layer }) => {
    if (layer) return
    clearTimeout(ends)
    ends = setTimeout(() => store.doc && showStrip(), 30)
  })
}
