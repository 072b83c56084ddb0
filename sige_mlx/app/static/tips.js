// What a control does, and its key, for a pointer that rests on it or the keyboard that is there.

import { $, make } from './store.js'

const WAIT = 350
let timer = null

function show(control) {
  const { tip, keys, side } = control.dataset
  const parts = (keys ?? '').split(' ').filter(Boolean).map(key => make('kbd', {}, key))
  $('tip').replaceChildren(tip, ...parts)
  $('tip').hidden = false
  const [at, own] = [control.getBoundingClientRect(), $('tip').getBoundingClientRect()]
  const beside = side === 'right' && innerWidth > 760
  const x = beside ? at.right + 8 : at.left + at.width / 2 - own.width / 2
  const below = at.bottom + 8 + own.height < innerHeight && !control.closest('#deck, #tools')
  const y = beside ? at.top + at.height / 2 - own.height / 2 : below ? at.bottom + 8 : at.top - own.height - 8
  $('tip').style.transform = `translate(${Math.round(Math.max(6, Math.min(innerWidth - own.width - 6, x)))}px, ${Math.round(y)}px)`
}

function hide() {
  clearTimeout(timer)
  $('tip').hidden = true
}

export function start() {
  const of = event => event.target.closest?.('[data-tip]')
  addEventListener('pointerover', event => {
    hide()
    const control = of(event)
    if (control && event.pointerType === 'mouse') timer = setTimeout(() => show(control), WAIT)
  })
  addEventListener('focusin', event => {
    hide()
    const control = of(event)
    if (control && event.target.matches(':focus-visible')) timer = setTimeout(() => show(control), WAIT)
  })
  for (const event of ['focusout', 'pointerdown', 'keydown', 'wheel', 'resize']) addEventListener(event, hide, { passive: true, capture: true })
}
