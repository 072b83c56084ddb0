// What the last render took, beside what everything would have taken.

import { $, make, on, store } from './store.js'

const UNITS = [[1e12, 'TMACs'], [1e9, 'GMACs'], [1e6, 'MMACs'], [1e3, 'kMACs']]

const UNIT = { tiles: 'Tiles', tokens: 'Tokens' }

export function macs(count) {
  const [unit, name] = UNITS.find(([size]) => count >= size) ?? [1, 'MACs']
  const value = count / unit
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${name}`
}

export const time = ms => ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`

export function percent(share) {
  const value = share * 100
  return value === 0 ? '0 %' : value < 0.01 ? '< 0.01 %' : `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} %`
}

let shown // the figures that are there now

const times = ratio => `${ratio.toFixed(ratio < 10 ? 1 : 0)}×`

/** Two bars, this edit's above that of everything, and the ratio between them. */
function bars(title, less, word, part, whole, format) {
  const bar = (name, value, share) => {
    const filled = make('i')
    filled.style.width = `${Math.max(0.8, Math.min(100, share * 100))}%`
    return make('div', { className: `bar ${name}` }, make('span', { className: 'track' }, filled), make('span', { className: 'amount' }, value))
  }
  const most = Math.max(part, whole)
  const gains = whole / part >= 1.05
  return make('div', { className: 'figure' },
    make('div', { className: 'head' }, make('h3', {}, title), make('strong', { className: gains ? 'gain' : '' }, gains ? `${times(whole / part)} ${less}` : word)),
    bar('edit', format(part), part / most), bar('dense', format(whole), whole / most))
}

function fact(name, value) {
  return make('div', { className: 'fact' }, make('span', {}, name), make('b', {}, value))
}

function show() {
  const { figures } = store.doc ?? {}
  if (figures === shown) return
  shown = figures
  $('figures').hidden = !figures
  if (!figures) return $('figures').replaceChildren()
  const { edited, tiles, all_tiles: all, macs: work, dense_macs: denseWork, engine_ms: took, dense_ms: dense, recording_ms: recording, way } = figures
  const facts = [fact('Edited', percent(edited))]
  if (way in UNIT) facts.push(fact(`${UNIT[way]} computed`, all ? `${tiles.toLocaleString('en')} of ${all.toLocaleString('en')}` : tiles.toLocaleString('en')))
  else facts.push(fact('Computed', 'everything'))
  if (recording >= 20) facts.push(fact('Recording, once', time(recording)))
  $('figures').replaceChildren(...[
    make('h2', {}, 'Last render'),
    make('div', { className: 'facts' }, ...facts),
    work && denseWork ? bars('Work', 'less', 'as much', work, denseWork, macs) : null,
    took && dense ? bars('Time', 'faster', 'as fast', took, dense, time) : took ? fact('Time', time(took)) : null,
    dense || denseWork ? make('p', { className: 'key' }, make('span', { className: 'edit' }, 'this edit'), make('span', { className: 'dense' }, 'the whole picture')) : null,
  ].filter(Boolean))
}

export function start() {
  for (const event of ['opened', 'state']) {
    on(event, () => {
      show()
      if (store.doc) $('edited').textContent = store.doc.edited ? `${percent(store.doc.edited)} painted` : ''
    })
  }
}
