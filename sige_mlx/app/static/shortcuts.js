// What keys do, in one table that is also what `?` lists.

import { $, emit, make, store } from './store.js'
import { LIST, brush, resize, setHardness, setTool } from './brush.js'
import { command } from './connection.js'
import { choose, save } from './files.js'
import { again, enter, escape, render, setBefore } from './rendering.js'
import { abandon, busy } from './tools.js'
import { actual, fit, panBy, zoomBy } from './view.js'

export const undo = () => store.doc && !busy() && command('undo')
export const redo = () => store.doc && !busy() && command('redo')

export function setMode(mode) {
  store.mode = mode
  document.querySelector(`input[name=view][value=${mode}]`).checked = true
  emit('mode')
}

function nextMode() {
  const modes = ['result', 'paint', 'split']
  setMode(modes[(modes.indexOf(store.mode) + 1) % modes.length])
}

export const toggleTiles = () => { store.tiles = !store.tiles; emit('tiles') }
export const toggleSlider = () => { store.slider = store.slider === null ? 0.5 : null; emit('slider') }
export function togglePanels() {
  const { dataset } = document.documentElement
  dataset.panels = dataset.panels === 'shown' ? 'hidden' : 'shown'
  emit('panels')
}

const step = event => event.shiftKey ? 160 : 40

/** Groups of [keys as they are shown, what they do, when a key event is meant, what happens]. */
const GROUPS = [
  ['Tools', [
    ...LIST.map(([name, title, key]) => [key, title, event => plain(event, key.toLowerCase()), () => setTool(name)]),
    ['[  ]', 'Smaller, larger brush', event => plain(event, '[', ']'), event => resize(event.key === ']' ? 1 : -1)],
    ['{  }', 'Softer, harder brush', event => plain(event, '{', '}'), event => setHardness(brush.hardness + (event.key === '}' ? 0.1 : -0.1))],
    ['Alt click', 'Take the colour of a place'],
    ['Shift click', 'A straight stroke from the last point'],
  ]],
  ['Edit', [
    ['Enter', 'Render; then accept the result', event => plain(event, 'enter') && !event.shiftKey, enter],
    ['Shift Enter', 'Render with other seeds', event => plain(event, 'enter') && event.shiftKey, again],
    ['R', 'Render', event => plain(event, 'r'), render],
    ['Esc', 'Cancel; then reject the result; then the paint', event => plain(event, 'escape'), () => abandon() || escape()],
    ['Z', 'Undo', event => (plain(event, 'z') || control(event, 'z')) && !event.shiftKey, undo],
    ['Shift Z  or  Y', 'Redo', event => plain(event, 'y') || control(event, 'y') || ((plain(event, 'z') || control(event, 'z')) && event.shiftKey), redo],
  ]],
  ['View', [
    ['Wheel', 'Zoom at the pointer; two fingers do so too'],
    ['+  −', 'Zoom', event => plain(event, '+', '=', '-', '−'), event => zoomBy(/[+=]/.test(event.key) ? 1.25 : 0.8)],
    ['0', 'Fit into the window', event => plain(event, '0'), fit],
    ['1', '100 %', event => plain(event, '1'), actual],
    ['Space', 'Hold and drag to move the picture'],
    ['Arrow keys', 'Move the picture', event => /^Arrow/.test(event.key) && onPicture(event) && bare(event), move],
    ['V', 'Result, paint, or both', event => plain(event, 'v'), nextMode],
    ['C', 'Hold to see the original', event => plain(event, 'c'), () => setBefore(true)],
    ['X', 'Slider between original and result', event => plain(event, 'x'), toggleSlider],
    ['T', 'Tiles that were recomputed', event => plain(event, 't'), toggleTiles],
    ['Tab', 'On the picture: hide and show panels', event => event.key === 'Tab' && !event.shiftKey && onPicture(event), togglePanels],
    ['F6', 'To the next part of the editor', event => event.key === 'F6', nextPart],
  ]],
  ['File', [
    ['Ctrl O', 'Open', event => control(event, 'o'), choose],
    ['Ctrl V', 'Open what was copied'],
    ['Ctrl S', 'Save as PNG', event => control(event, 's'), () => save()],
    ['?', 'This list', event => plain(event, '?'), list],
  ]],
]

const bare = event => !event.ctrlKey && !event.metaKey && !event.altKey
const plain = (event, ...keys) => bare(event) && keys.includes(event.key.toLowerCase())
const control = (event, key) => (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === key
const onPicture = event => Boolean(event.target.closest?.('.pane'))

/** Keys that a control needs for itself. */
function taken(event) {
  const { tagName, type } = event.target
  const typed = tagName === 'TEXTAREA' || (tagName === 'INPUT' && /^(text|number)$/.test(type))
  if (event.ctrlKey || event.metaKey) return typed && /^[zy]$/i.test(event.key)
  if (event.target.closest?.('dialog, [role=menu]')) return true
  if (typed) return event.key !== 'F6'
  if (tagName === 'SELECT') return event.key !== 'F6' && event.key !== 'Escape'
  if (/^(BUTTON|SUMMARY)$/.test(tagName)) return event.key === 'Enter' || event.key === 'Tab'
  return tagName === 'INPUT' && (/^Arrow|^Home|^End|^Page/.test(event.key) || event.key === 'Tab')
}

function move(event) {
  const by = step(event)
  const [dx, dy] = { ArrowLeft: [by, 0], ArrowRight: [-by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key]
  panBy(dx, dy)
}

/** F6 goes from the bar to the tools, the picture, the deck and the panel, and around; with Shift backwards. */
function nextPart(event) {
  const parts = ['.top', '#tools', '#panes', '#deck', '#panel', '#start'].map(part => document.querySelector(part)).filter(part => part?.checkVisibility?.() ?? part?.offsetParent)
  const at = parts.findIndex(part => part.contains(document.activeElement))
  const to = parts.at((at + (event.shiftKey ? -1 : 1)) % parts.length)
  const able = [...to.querySelectorAll('button, input, select, textarea, summary, [tabindex="0"]')].find(one => !one.disabled && one.tabIndex >= 0 && (one.checkVisibility?.() ?? one.offsetParent))
  able?.focus()
}

export function list() {
  const dialog = $('shortcuts')
  if (dialog.open) return dialog.close()
  const shut = make('button', { className: 'icon', ariaLabel: 'Close', onclick: () => dialog.close() })
  shut.append('×')
  dialog.replaceChildren(
    make('header', {}, make('h2', { id: 'shortcuts-title' }, 'Shortcuts'), shut),
    make('div', { className: 'columns' }, ...GROUPS.map(([title, keys]) => make('section', {}, make('h3', {}, title),
      make('dl', {}, ...keys.map(([shown, does]) => make('div', {}, make('dt', {}, ...combination(shown)), make('dd', {}, does))))))))
  dialog.showModal()
}

const MAC = /Mac|iPhone|iPad/.test(navigator.platform)

function combination(shown) {
  return shown.split('  ').flatMap(part => part === 'or' ? [' or '] : [...part.split(' ').map(key => key === 'click' || key === 'keys' ? ` ${key} ` : make('kbd', {}, MAC && key === 'Ctrl' ? '⌘' : key)), ' '])
}

export function start() {
  // Who came by keyboard sees where they are; who paints is not shown a frame for pressing Enter.
  addEventListener('keydown', event => { if (/^(Tab|F6)$/.test(event.key)) document.documentElement.dataset.keyboard = '1' }, true)
  addEventListener('pointerdown', () => { delete document.documentElement.dataset.keyboard }, true)
  addEventListener('keydown', event => {
    if (event.defaultPrevented || event.isComposing || taken(event)) return
    for (const [, , meant, act] of GROUPS.flatMap(([, keys]) => keys)) {
      if (!meant?.(event)) continue
      if (event.repeat && /^(enter|c|x|t|v)$/i.test(event.key)) return event.preventDefault()
      event.preventDefault()
      act(event)
      return
    }
  })
  addEventListener('keyup', event => { if (event.key.toLowerCase() === 'c') setBefore(false) })
  addEventListener('blur', () => setBefore(false))
  $('shortcuts').addEventListener('click', event => { if (event.target === $('shortcuts')) $('shortcuts').close() })
}
