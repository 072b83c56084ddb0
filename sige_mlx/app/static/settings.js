// Settings of the render. The server owns them: a control shows what it says, and asks for a change.

import { $, make, on, store } from './store.js'
import { command, request } from './connection.js'
import { anySeed, render } from './rendering.js'

export let models = []

const change = fields => command('settings', fields)
const outputs = { strength: value => `${Math.round(value)} %`, steps: value => value }

function show() {
  const { settings, kind } = store.doc
  const words = settings.prompt !== null // renders that take a while, by a runtime of its own
  const hidden = { scale: kind === 'labels' || words, device: words, count: words || settings.seed === null }
  for (const field of document.querySelectorAll('[data-setting]')) {
    const name = field.dataset.setting
    field.hidden = hidden[name] ?? settings[name] === null
  }
  write('prompt', settings.prompt)
  write('seed', settings.seed)
  write('strength', settings.strength === null ? null : settings.strength * 100)
  write('steps', settings.steps)
  write('device', settings.device)
  write('scale', settings.scale ?? '')
  if (settings.scale !== null && $('scale').value === '') {
    $('scale').append(make('option', { value: settings.scale }, `${settings.scale} : 1`))
    write('scale', settings.scale)
  }
  for (const input of $('quality').querySelectorAll('input')) input.checked = input.value === settings.quality
  const task = models.find(model => model.name === settings.model)?.task
  const fitting = models.filter(model => model.task === task && (model.here || model.name === settings.model))
  const names = fitting.length ? fitting.map(model => model.name) : [settings.model]
  $('model').replaceChildren(...names.map(name => make('option', { value: name }, name)))
  write('model', settings.model)
}

/** A control that somebody is at keeps what they are about to say. */
function write(id, value) {
  const control = $(id)
  if (value === null || (document.activeElement === control && control.dataset.edited)) return
  control.value = value
  if (outputs[id]) $(`${id}-out`).textContent = outputs[id](value)
}

export async function start() {
  $('seed').oninput = () => { $('seed').dataset.edited = '1' }
  $('seed').onchange = () => {
    delete $('seed').dataset.edited
    const seed = Math.min(2 ** 32 - 1, Math.max(0, Math.round(+$('seed').value)))
    if (Number.isFinite(seed)) change({ seed })
  }
  $('prompt').oninput = () => { $('prompt').dataset.edited = '1' }
  $('prompt').onchange = () => {
    delete $('prompt').dataset.edited
    change({ prompt: $('prompt').value })
  }
  $('prompt').onkeydown = event => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    if ($('prompt').dataset.edited) $('prompt').onchange()
    render()
  }
  $('dice').onclick = () => change({ seed: anySeed() })
  for (const id of ['strength', 'steps']) {
    $(id).oninput = () => { $(`${id}-out`).textContent = outputs[id](+$(id).value) }
    $(id).onchange = () => change({ [id]: id === 'strength' ? $(id).value / 100 : +$(id).value })
  }
  $('quality').onchange = event => change({ quality: event.target.value })
  $('model').onchange = () => change({ model: $('model').value })
  $('device').onchange = () => change({ device: $('device').value })
  $('scale').onchange = () => change({ scale: $('scale').value === '' ? null : +$('scale').value })
  for (const event of ['opened', 'state']) on(event, () => store.doc && show())
  let usual
  try {
    ({ models, usual } = await (await request('/api/models')).json())
  } catch { return }
  const own = models.filter(model => model.kind === 'picture' && model.here)
  $('open-model').replaceChildren(...own.map(({ name }) => make('option', { value: name }, name)))
  $('open-model').value = usual
  $('open-model').parentElement.hidden = own.length < 2
  if (store.doc) show()
}
