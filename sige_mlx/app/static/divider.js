// The border between original and result that one can move, by pointer or arrow keys.

import { $, emit, on, store } from './store.js'
import { toPicture, view } from './view.js'

const pane = () => store.mode === 'split' ? $('pane-b') : $('pane-a')

function place() {
  const { doc, slider } = store
  const divider = $('divider')
  divider.hidden = !doc || slider === null
  if (divider.hidden) return
  const [inside, all] = [pane().getBoundingClientRect(), $('panes').getBoundingClientRect()]
  divider.style.transform = `translate(${inside.left - all.left + view.x + slider * doc.w * view.s}px, 0)`
  const percent = Math.round(slider * 100)
  divider.setAttribute('aria-valuenow', percent)
  divider.setAttribute('aria-valuetext', `${percent} % original`)
}

function set(slider) {
  store.slider = Math.min(1, Math.max(0, slider))
  emit('slider')
}

export function start() {
  const divider = $('divider')
  divider.addEventListener('pointerdown', event => {
    event.preventDefault()
    divider.focus()
    divider.setPointerCapture(event.pointerId)
  })
  divider.addEventListener('pointermove', event => {
    if (divider.hasPointerCapture(event.pointerId)) set(toPicture(pane(), event)[0] / store.doc.w)
  })
  divider.addEventListener('keydown', event => {
    const to = { ArrowLeft: store.slider - 0.02, ArrowRight: store.slider + 0.02, Home: 0, End: 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    event.stopPropagation()
    set(to)
  })
  for (const change of ['slider', 'view', 'mode', 'document']) on(change, place)
}
