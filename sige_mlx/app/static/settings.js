// Settings of the render. The server owns them: a control shows what it says, and asks for a change.

import { $, make, on, store } from './store.js'
import { command, request } from './connection.js'
import { anySeed } from './rendering.js'

export let models = []

const change = fields => command('settings', fields)
const outputs = { strength: value => `${Math.round(value)} %`, steps: value => value }

function show() {
  const { settings, kind } = store.doc
  for (const field of document.querySelectorAll('[data-setting]')) {
    const name = field.dataset.setting
    field.hidden = name !== 'scale' && settings[name] === null || name === 'scale' && kind === 'labels'
  }
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
  const fitting = models.filter(model => model.kind === kind && (model.cached || model.name === settings.model))
  const names = fitting.length ? fitting.map(model => model.name) : [settings.model]
  $('model').replaceChildren(...names.map(name => make('option', { value: name }, name)))
  write('model', settings.model)
}

/** A control that somebody is at keeps what they are about to say. */
function write(id, value) {
  const control = $(id)
  if (value === null || (document.activeElement === control && control.type === 'number' && control.dataset.edited)) return
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
  try {
    const told = await (await request('/api/models')).json()
    models = told.models ?? told
  } catch { return }
  const own = models.filter(model => model.kind === 'picture' && model.cached)
  $('open-model').replaceChildren(...own.map(({ name }) => make('option', { value: name }, name)))
  $('open-model').parentElement.hidden = own.length < 2
  if (store.doc) show()
}
