// The picture's layers, each a canvas of the picture's own size, and which of them are seen. Only rectangles that the
// server sends change them. `before` is the picture that unedited labels make.

import { $, emit, on, store } from './store.js'
import { fresh } from './fresh.js'

const NAMES = ['original', 'canvas', 'result', null, 'before']
const VARIANT = 3

export const layers = Object.fromEntries(NAMES.filter(name => name).map(name => [name, $(`layer-${name}`)]))
const contexts = Object.fromEntries(Object.entries(layers).map(([name, layer]) => [name, layer.getContext('2d')]))

/** Rectangles of each variant: {x, y, w, h, picture}. */
export const variants = []
let hasBefore = false
let arranged = '' // what the panes were arranged for: moving layers about makes a browser draw them all anew

/** The layer that an edit is compared with. */
export const reference = () => store.mode !== 'paint' && hasBefore ? layers.before : layers.original

function opened(doc, old) {
  const other = !old || old.name !== doc.name || old.w !== doc.w || old.h !== doc.h || old.kind !== doc.kind || doc.revision < old.revision
  variants.length = 0
  store.loaded = false
  if (!other) return
  hasBefore = false
  for (const layer of Object.values(layers)) {
    layer.width = layer === layers.before ? 1 : doc.w
    layer.height = layer === layers.before ? 1 : doc.h
  }
}

function rectangle({ layer, variant, seq, x, y, w, h, pixels }) {
  if (layer === VARIANT) {
    const picture = new OffscreenCanvas(w, h)
    put(picture.getContext('2d'), pixels, 0, 0)
    const kept = (variants[variant] ??= [])
    if (kept.seq !== seq) kept.length = 0
    kept.seq = seq
    kept.push({ x, y, w, h, picture })
  } else {
    const name = NAMES[layer]
    if (name === 'before' && !hasBefore) {
      hasBefore = true
      Object.assign(layers.before, { width: store.doc.w, height: store.doc.h })
      arrange()
    }
    put(contexts[name], pixels, x, y)
    if (name === 'canvas') fresh.received(seq, [x, y, w, h])
  }
  emit('pixels', { layer: NAMES[layer] })
}

/** A layer that is as another, which so need not be sent twice. */
function copy({ layer, of }) {
  const name = NAMES[layer]
  contexts[name].drawImage(layers[NAMES[of]], 0, 0)
  emit('pixels', { layer: name })
}

function put(context, pixels, x, y) {
  if (pixels instanceof ImageData) return context.putImageData(pixels, x, y)
  context.drawImage(pixels, x, y)
  pixels.close()
}

/** Puts the layers into the panes that show them. */
export function arrange() {
  const { doc, mode, before, slider } = store
  if (!doc) return
  const now = JSON.stringify([mode, before, slider, doc.kind, doc.result, hasBefore])
  if (now === arranged) return
  arranged = now
  const [split, paint] = [mode === 'split', mode === 'paint']
  const home = split ? $('stage-b') : $('stage-a')
  const compared = reference()
  const { original, canvas, result } = layers
  $('panes').dataset.view = mode
  $('pane-b').hidden = !split
  $('stage-a').append(original, layers.before, result, canvas)
  home.append(result)
  if (!split) $('stage-a').append(canvas)
  home.append(compared)
  if (split && doc.kind === 'labels' && compared !== original) $('stage-a').append(original)
  result.hidden = paint
  canvas.hidden = !(split || paint || (doc.kind === 'picture' && !doc.result))
  original.hidden = !(compared === original ? before || slider !== null : split && before)
  layers.before.hidden = !(compared === layers.before && (before || slider !== null))
  compared.style.clipPath = before || slider === null ? '' : `inset(0 ${(1 - slider) * 100}% 0 0)`
  if (compared !== original) original.style.clipPath = ''
  const names = doc.kind === 'labels' ? ['Labels', 'Picture'] : ['Paint', 'Result']
  $('corner-a').textContent = before ? 'Original' : split ? names[0] : ''
  $('corner-b').textContent = before && compared !== original ? 'Original' : names[1]
  emit('overlay')
}

export function start() {
  on('message', message => {
    if (message.t === 'rectangle' && store.doc) rectangle(message)
    else if (message.t === 'copy' && store.doc) copy(message)
    else if (message.t === 'loaded') store.loaded = true
  })
  on('document', ({ doc, old }) => {
    if (doc) opened(doc, old)
    arrange()
  })
  for (const change of ['state', 'mode', 'before', 'slider']) on(change, arrange)
}
