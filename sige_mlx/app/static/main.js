// Puts the parts together: what the server says becomes the document, and controls of the top bar do what they say.

import { $, emit, habits, on, store } from './store.js'
import * as brush from './brush.js'
import { connect } from './connection.js'
import * as divider from './divider.js'
import * as figures from './figures.js'
import * as files from './files.js'
import * as fresh from './fresh.js'
import * as layers from './layers.js'
import * as overlay from './overlay.js'
import * as rendering from './rendering.js'
import * as settings from './settings.js'
import * as shortcuts from './shortcuts.js'
import * as tips from './tips.js'
import * as tools from './tools.js'
import * as view from './view.js'

const NARROW = matchMedia('(max-width: 760px)')

/** Where a network makes another picture of what is painted, both are wanted. */
const beside = doc => doc.kind === 'labels' || doc.settings.strength === null

function opened(doc) {
  const old = store.doc
  store.doc = doc.name === null ? null : doc
  const root = document.documentElement
  root.dataset.kind = store.doc?.kind ?? 'none'
  root.dataset.ready = '1'
  document.title = store.doc ? `${doc.name} · sige-mlx` : 'sige-mlx'
  const other = store.doc && (old?.name !== doc.name || old.w !== doc.w || old.h !== doc.h || old.kind !== doc.kind)
  if (other) {
    store.slider = null
    shortcuts.setMode(beside(doc) ? NARROW.matches ? 'paint' : 'split' : 'result')
  }
  emit('document', { doc: store.doc, old })
  if (other) emit('opened', store.doc)
  if (store.doc) emit('state', { seq: null, revised: false })
}

function changed({ t, seq = null, ...fields }) {
  if (!store.doc) return
  const revised = fields.revision !== store.doc.revision
  Object.assign(store.doc, fields)
  emit('state', { seq, revised })
}

function showState() {
  const { doc } = store
  if (!doc) return
  $('title').hidden = false
  $('name').textContent = doc.name
  $('dirty').hidden = !doc.dirty
  $('extent').textContent = `${doc.w} × ${doc.h}`
  for (const [id, steps, name] of [['undo', doc.undo, doc.undo_name], ['redo', doc.redo, doc.redo_name]]) {
    $(id).setAttribute('aria-disabled', !steps)
    $(id).dataset.tip = `${id === 'undo' ? 'Undo' : 'Redo'}${name ? ` ${name}` : ''}`
  }
}

function toolbar() {
  $('undo').onclick = shortcuts.undo
  $('redo').onclick = shortcuts.redo
  $('views').onchange = event => shortcuts.setMode(event.target.value)
  $('slider-toggle').onclick = shortcuts.toggleSlider
  $('tiles-toggle').onclick = shortcuts.toggleTiles
  $('zoom-in').onclick = () => view.zoomBy(1.25)
  $('zoom-out').onclick = () => view.zoomBy(0.8)
  $('zoom-100').onclick = view.actual
  $('zoom-fit').onclick = view.fit
  $('help').onclick = shortcuts.list
  $('panel-toggle').onclick = shortcuts.togglePanels
  const themes = ['light', 'dark']
  const wear = theme => { document.documentElement.dataset.theme = theme }
  if (themes.includes(habits.get('theme'))) wear(habits.get('theme'))
  $('theme').onclick = () => {
    const now = document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
    const next = themes.find(theme => theme !== now)
    wear(next)
    habits.set('theme', next)
  }
  on('view', () => { $('zoom-100').textContent = `${Math.round(view.zoomPercent())} %` })
  on('slider', () => $('slider-toggle').setAttribute('aria-pressed', store.slider !== null))
  on('tiles', () => $('tiles-toggle').setAttribute('aria-pressed', store.tiles))
  on('panels', () => $('panel-toggle').setAttribute('aria-pressed', document.documentElement.dataset.panels === 'shown'))
  on('connection', ({ connected, refused }) => {
    $('connection').dataset.state = connected ? 'open' : 'lost'
    $('status').textContent = connected ? '' : refused
      ? 'This page needs the whole address that `sige-mlx app` printed, with the token at its end'
      : 'The connection is lost; what you paint is kept and sent when it is back'
  })
}

on('message', message => {
  if (message.t === 'document') opened(message)
  else if (message.t === 'state') changed(message)
})
for (const part of [layers, fresh, view, overlay, brush, tools, rendering, figures, settings, files, shortcuts, divider, tips]) part.start()
on('state', showState)
toolbar()
if (NARROW.matches) shortcuts.togglePanels()
emit('tool')
connect()
