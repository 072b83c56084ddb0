// Pictures and sessions in and out: the start page with its gallery, the file dialog, dropping, pasting, saving.

import { $, habits, make, on, store, toast } from './store.js'
import { request, send } from './connection.js'

const KINDS = { picture: 'picture', labels: 'label map' }

async function ask(what, doing) {
  document.documentElement.dataset.busy = doing
  $('status').textContent = `${doing}…`
  try {
    return await what()
  } catch (error) {
    toast(error.message)
    return null
  } finally {
    delete document.documentElement.dataset.busy
    if ($('status').textContent === `${doing}…`) $('status').textContent = ''
  }
}

/** Whether what is open may go: who has not saved it is asked, for nothing brings it back. */
const mayGo = () => !store.doc?.dirty || confirm(`${store.doc.name} has changes that are not saved. Go on without them?`)

/** Opens a file: a picture, or a session where its name says so. */
export function open(file) {
  if (!file || !mayGo()) return
  const session = /\.(sige|session)$/i.test(file.name)
  const model = $('open-model').value
  const query = new URLSearchParams({ name: file.name, ...(model && { model }) })
  return ask(() => request(session ? '/api/session' : `/api/open?${query}`, { method: 'POST', body: file }), 'Opening')
}

export const choose = () => $('file').click()

export function save(format = 'png') {
  if (!store.doc) return
  const stem = store.doc.name.replace(/\.[a-z0-9]{2,5}$/i, '') // another may be open, or none, when the file is here
  return ask(async () => {
    const answer = await request(format === 'session' ? '/api/session' : `/api/picture?format=${format}`)
    const link = make('a', {
      href: URL.createObjectURL(await answer.blob()),
      download: format === 'session' ? `${stem}.sige` : `${stem}-edited.${{ jpeg: 'jpg', tiff: 'tif' }[format] ?? format}`,
    })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
    habits.set('format', format)
    $('status').textContent = `Saved ${link.download}`
  }, 'Saving')
}

async function showGallery() {
  const list = await ask(async () => {
    const told = await (await request('/api/gallery')).json()
    return told.pictures
  }, 'Looking for pictures')
  $('gallery').replaceChildren(...(list ?? []).map(card))
}

function card({ name, title, kind, model }) {
  const canvas = make('canvas', { width: 1, height: 1, ariaHidden: 'true' })
  const button = make('button', { onclick: () => ask(() => request(`/api/gallery/${encodeURIComponent(name)}`, { method: 'POST' }), 'Opening') },
    canvas, make('strong', {}, title), make('small', {}, `${KINDS[kind] ?? kind} · ${model}`))
  request(`/api/gallery/${encodeURIComponent(name)}`).then(async answer => {
    const picture = await createImageBitmap(await answer.blob())
    Object.assign(canvas, { width: picture.width, height: picture.height })
    canvas.getContext('2d').drawImage(picture, 0, 0)
  }).catch(() => {})
  return make('li', {}, button)
}

function menu() {
  const [button, list] = [$('save'), $('save-menu')]
  const items = [...list.querySelectorAll('[role=menuitem]')]
  const shut = focus => {
    if (list.hidden) return
    list.hidden = true
    button.setAttribute('aria-expanded', 'false')
    if (focus) button.focus()
  }
  button.onclick = () => {
    if (!list.hidden) return shut(true)
    const at = button.getBoundingClientRect()
    list.hidden = false
    list.style.top = `${at.bottom + 6}px`
    list.style.left = `${Math.max(8, Math.min(innerWidth - list.offsetWidth - 8, at.right - list.offsetWidth))}px`
    button.setAttribute('aria-expanded', 'true')
    items[0].focus()
  }
  list.onkeydown = event => {
    const at = items.indexOf(document.activeElement)
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key]
    event.stopPropagation()
    if (event.key === 'Escape' || event.key === 'Tab') shut(true)
    else if (to !== undefined) items.at(to % items.length).focus()
    else return
    event.preventDefault()
  }
  for (const item of items) item.onclick = () => { shut(true); save(item.dataset.save) }
  addEventListener('pointerdown', event => { if (!list.contains(event.target) && !button.contains(event.target)) shut(false) })
}

export function start() {
  $('open').onclick = $('choose').onclick = choose
  $('shut').onclick = () => mayGo() && send({ t: 'close' })
  $('file').onchange = () => {
    open($('file').files[0])
    $('file').value = ''
  }
  let over = 0
  const files = event => [...(event.dataTransfer?.types ?? [])].includes('Files')
  addEventListener('dragenter', event => {
    event.preventDefault() // or a drop before the next dragover, where the pointer has just come to, would be refused
    if (!files(event)) return
    over++
    $('droppable').hidden = false
  })
  addEventListener('dragleave', event => { if (files(event) && --over <= 0) $('droppable').hidden = true })
  addEventListener('dragover', event => event.preventDefault())
  addEventListener('drop', event => {
    event.preventDefault()
    over = 0
    $('droppable').hidden = true
    const [file] = event.dataTransfer.files
    if (file) open(file)
    else toast('Only files can be dropped here: a PNG, JPEG, WebP or TIFF picture, or a saved session.')
  })
  addEventListener('paste', event => {
    if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== 'range') return
    const [file] = event.clipboardData.files
    if (file) open(file)
    else toast('The clipboard holds no picture.')
  })
  menu()
  on('document', ({ doc }) => {
    $('start').hidden = Boolean(doc)
    if (!doc) showGallery()
  })
}
