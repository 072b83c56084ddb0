// What the tools paint with: size, hardness, pressure, and a colour or a class.

import { $, emit, habits, icon, make, on, store } from './store.js'

export const LIST = [
  ['brush', 'Brush', 'B', 'brush'],
  ['eraser', 'Eraser', 'E', 'eraser', 'Gives the original back.'],
  ['bucket', 'Bucket', 'G', 'bucket', 'Fills what is alike and touches the place.'],
  ['lasso', 'Lasso', 'L', 'lasso', 'Draw around an area to fill it.'],
  ['line', 'Line', 'N', 'line', 'Shift keeps to steps of 45°.'],
  ['rectangle', 'Rectangle', 'U', 'rect', 'Shift keeps it square.'],
  ['pick', 'Eyedropper', 'I', 'pipette', 'Takes the colour of a place. With any tool: Alt and click.'],
  ['hand', 'Hand', 'H', 'hand', 'Moves the picture. With any tool: hold Space.'],
]

const USES = {
  size: ['brush', 'eraser', 'line'],
  hardness: ['brush', 'line'],
  pressure: ['brush', 'eraser'],
  tolerance: ['bucket'],
}
const COLOURS = ['#0b1f3f', '#1d4f91', '#4f9bd0', '#d8c49a', '#b98f5a', '#7a8f45', '#33552b', '#7b5a3c', '#ffffff', '#8d939b', '#16181c', '#c8452f']

export const brush = {
  diameter: 12,
  hardness: 1,
  pressure: habits.get('pressure', true),
  tolerance: 32,
  colour: habits.get('colour', '#d8c49a'),
  label: 0,
}

let recent = habits.get('recent', [])
const most = () => Math.max(64, Math.max(store.doc?.w ?? 0, store.doc?.h ?? 0) / 2)
const rgb = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16))
const labelled = () => store.doc?.palette?.find(entry => entry.value === brush.label)

/** What is painted, as the server wants it, and its colour. */
export const value = () => store.doc.palette ? [brush.label] : rgb(brush.colour)
export const colour = () => labelled()?.colour ?? brush.colour
/** The hardness of a stroke: labels have no shades. */
export const hardness = () => store.doc.palette ? 1 : brush.hardness

export function setTool(name) {
  store.tool = name
  emit('tool')
}

export function setDiameter(pixels) {
  brush.diameter = Math.min(most(), Math.max(1, Math.round(pixels)))
  emit('brush')
}

/** One press of `[` or `]`. */
export const resize = direction => setDiameter(direction * Math.max(1, Math.round(brush.diameter * 0.12)) + brush.diameter)

export function setHardness(share) {
  brush.hardness = Math.min(1, Math.max(0, share))
  emit('brush')
}

export function setColour(colour) {
  brush.colour = colour
  habits.set('colour', colour)
  emit('brush')
}

/** A colour that was painted with comes first among the recent ones. */
export function used() {
  if (store.doc.palette || recent[0] === brush.colour || COLOURS.includes(brush.colour)) return
  recent = [brush.colour, ...recent.filter(other => other !== brush.colour)].slice(0, 6)
  habits.set('recent', recent)
  showSwatches()
}

/** What the eyedropper found. */
export function picked({ value, colour }) {
  if (store.doc.palette) brush.label = value[0]
  else return setColour(colour)
  emit('brush')
}

function showTool() {
  const [, title, , , note] = LIST.find(([name]) => name === store.tool)
  $('panes').dataset.tool = store.tool
  $('tool-name').textContent = title
  $('tool-note').textContent = note ?? ''
  $('tool-note').hidden = !note
  for (const [name, tools] of Object.entries(USES)) {
    const inapplicable = store.doc?.palette && (name === 'hardness' || name === 'tolerance')
    document.querySelector(`[data-for="${name}"]`).hidden = !tools.includes(store.tool) || inapplicable
  }
  for (const button of $('tools').children) {
    const chosen = button.dataset.tool === store.tool
    button.setAttribute('aria-pressed', chosen)
    button.tabIndex = chosen ? 0 : -1
  }
}

function showBrush() {
  $('size').value = Math.round(1000 * Math.log(brush.diameter) / Math.log(most()))
  $('size').setAttribute('aria-valuetext', `${brush.diameter} pixels`)
  $('size-out').textContent = `${brush.diameter} px`
  $('hardness').value = brush.hardness * 100
  $('hardness-out').textContent = `${Math.round(brush.hardness * 100)} %`
  $('tolerance-out').textContent = brush.tolerance
  $('colour').value = $('hex').value = brush.colour
  for (const swatch of $('swatches').children) swatch.setAttribute('aria-pressed', swatch.dataset.colour === brush.colour)
  for (const input of $('classes').querySelectorAll('input')) input.checked = +input.value === brush.label
}

function showSwatches() {
  $('swatches').replaceChildren(...[...COLOURS, ...recent].map(colour => {
    const swatch = make('button', { className: 'swatch', ariaLabel: colour, title: colour, onclick: () => setColour(colour) })
    swatch.dataset.colour = colour
    swatch.style.backgroundColor = colour
    swatch.setAttribute('aria-pressed', colour === brush.colour)
    return swatch
  }))
}

function showClasses(palette) {
  $('classes').replaceChildren(...palette.map(({ value, name, colour }) => {
    const chip = make('span', { className: 'chip' })
    chip.style.backgroundColor = colour
    const input = make('input', { type: 'radio', name: 'class', value, onchange: () => { brush.label = value; emit('brush') } })
    return make('label', {}, input, chip, make('span', {}, name))
  }))
}

export function start() {
  $('tools').append(...LIST.map(([name, title, key, drawing]) => {
    const button = make('button', { className: 'icon', ariaLabel: title, onclick: () => setTool(name) }, icon(drawing))
    Object.assign(button.dataset, { tool: name, tip: title, keys: key, side: 'right' })
    button.setAttribute('aria-keyshortcuts', key)
    return button
  }))
  $('tools').addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    event.stopPropagation()
    const buttons = [...$('tools').children]
    const next = buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length)
    setTool(next.dataset.tool)
    next.focus()
  })
  $('size').oninput = () => setDiameter(most() ** ($('size').value / 1000))
  $('hardness').oninput = () => setHardness($('hardness').value / 100)
  $('tolerance').oninput = () => { brush.tolerance = +$('tolerance').value; emit('brush') }
  $('pressure').checked = brush.pressure
  $('pressure').onchange = () => habits.set('pressure', brush.pressure = $('pressure').checked)
  $('colour').oninput = () => setColour($('colour').value)
  $('hex').onchange = () => {
    const given = $('hex').value.trim().toLowerCase().replace(/^#?/, '#')
    if (/^#[0-9a-f]{6}$/.test(given)) setColour(given)
    else showBrush()
  }
  showSwatches()
  on('tool', showTool)
  on('brush', showBrush)
  on('opened', doc => {
    brush.diameter = Math.max(2, Math.round(Math.min(doc.w, doc.h) * 0.08))
    if (doc.palette) {
      showClasses(doc.palette)
      if (!labelled()) brush.label = doc.palette[0].value
    }
    $('colour-section').hidden = Boolean(doc.palette)
    $('palette-section').hidden = !doc.palette
    showTool()
    showBrush()
  })
}
