// The way to the server: one socket that comes back when it was lost, and requests for files. The token arrives in the
// address's fragment, which no server sees, and stays in this tab.

import { emit, store } from './store.js'

const given = new URLSearchParams(location.hash.slice(1)).get('token')
if (given) {
  try { sessionStorage.setItem('sige.token', given) } catch { /* then a reload asks for the address again */ }
  history.replaceState(null, '', location.pathname)
}
const token = given ?? sessionStorage.getItem('sige.token') ?? ''

const HEAD = 20 // bytes before a rectangle's body
const TYPES = ['', 'image/png', 'image/webp']

let socket = null
let last = 0
let wait = 250
let inbox = Promise.resolve()
let unsent = []
let reported = null // what the document was when the connection was lost

/** Asks the server for something; a refusal becomes an Error with the server's sentence. */
export async function request(path, options = {}) {
  let answer
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } })
  } catch {
    throw new Error('The editor’s server does not answer. Is `sige-mlx app` still running?')
  }
  if (answer.ok) return answer
  const why = await answer.json().then(told => told.error, () => null)
  throw new Error(why ?? `The server refused this (${answer.status}).`)
}

/** Sends a message, or a stroke's bytes; without a connection it waits for the next. */
export function send(message) {
  const data = message instanceof ArrayBuffer ? message : JSON.stringify(message)
  if (socket?.readyState === WebSocket.OPEN && store.connected) socket.send(data)
  else unsent.push(data)
}

/** A number for a message that wants an answer. Tabs draw theirs from different thousands. */
export const number = () => ++last

/** Sends a command of this name. Returns its number. */
export function command(t, fields = {}) {
  const seq = number()
  send({ t, seq, ...fields })
  return seq
}

/** Ends the connection, as when a computer sleeps; it comes back by itself. */
export const drop = () => socket.close()

export function connect() {
  last = crypto.getRandomValues(new Uint16Array(1))[0] * 65536
  open()
}

function open() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`, ['sige.v1', `token.${token}`])
  socket.binaryType = 'arraybuffer'
  let greeted = false
  socket.onopen = () => {
    greeted = true
    wait = 250
    socket.send(JSON.stringify({ t: 'hello' }))
  }
  socket.onmessage = ({ data }) => {
    // Pictures are decoded at once, and take effect in the order in which they came.
    const read = typeof data === 'string' ? JSON.parse(data) : rectangle(data)
    inbox = inbox.then(async () => receive(await read)).catch(error => console.error(error))
  }
  socket.onclose = () => {
    if (store.connected || !reported) reported = store.doc && { name: store.doc.name, revision: store.doc.revision }
    store.connected = false
    emit('connection', { connected: false, refused: !greeted && !token })
    setTimeout(open, wait)
    wait = Math.min(wait * 1.7, 5000)
  }
}

/** The head of a rectangle, and its pixels: ImageData where they came raw, else a bitmap. */
async function rectangle(data) {
  const view = new DataView(data)
  const [layer, form] = [view.getUint8(0), view.getUint8(1)]
  const [x, y, w, h] = [12, 14, 16, 18].map(at => view.getUint16(at, true))
  const pixels = form & 15
    ? await createImageBitmap(new Blob([new Uint8Array(data, HEAD)], { type: TYPES[form & 15] }), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' })
    : new ImageData(new Uint8ClampedArray(data, HEAD, w * h * 4), w, h)
  return { t: 'rectangle', layer, variant: form >> 4, seq: view.getUint32(4, true), revision: view.getUint32(8, true), x, y, w, h, pixels }
}

function receive(message) {
  if (message.t === 'document' && !store.connected) {
    store.connected = true
    emit('connection', { connected: true })
    // What was painted while nobody listened goes to the document it was painted on, and to no other.
    const same = message.name !== null && reported?.name === message.name && message.revision >= reported.revision
    const kept = unsent
    unsent = []
    reported = null
    if (same) setTimeout(() => kept.forEach(data => socket.send(data)))
    else if (kept.length && message.name !== null) emit('message', { t: 'error', why: 'What was painted while the connection was lost belongs to another document.' })
  }
  emit('message', message)
}
