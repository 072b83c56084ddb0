// What the page knows, and who is told when it changes. `doc` is what the server says of the document (null without
// one); the rest is this tab's own.

const told = new EventTarget()

export const store = {
  doc: null,
  progress: null, // of the render that runs: what, step, steps, seed
  loaded: false, // the document's layers are here
  connected: false,
  tool: 'brush',
  mode: 'result', // what is shown: result, paint or split
  before: false, // the original is shown as long as a key or a button is held
  slider: null, // the border between original and result, 0 to 1 of the picture, or null
  live: false, // every stroke renders
  tiles: false, // the tiles of the last render stay on show
}

export const on = (name, listen) => told.addEventListener(name, event => listen(event.detail))
export const emit = (name, detail) => told.dispatchEvent(new CustomEvent(name, { detail }))

export const $ = id => document.getElementById(id)

/** An element with properties and children, without a line of HTML in a string. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== 'role') element[name] = value
    else element.setAttribute(name, value)
  }
  element.append(...children.filter(child => child !== null))
  return element
}

/** One of the icons that index.html holds. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use')
  use.setAttribute('href', `#i-${name}`)
  svg.append(use)
  return svg
}

/** Says a sentence for a moment; trouble stays for longer. */
export function toast(words, trouble = true) {
  const shut = make('button', { className: 'icon', ariaLabel: 'Dismiss' }, icon('close'))
  const line = make('p', { className: trouble ? 'toast trouble' : 'toast' }, make('span', {}, words), shut)
  shut.onclick = () => line.remove()
  $('toasts').append(line)
  setTimeout(() => line.remove(), trouble ? 9000 : 3500)
}

/** What this browser keeps of a person's habits; nothing of a picture. */
export const habits = {
  get(name, otherwise) {
    try { return JSON.parse(localStorage.getItem(`sige.${name}`)) ?? otherwise } catch { return otherwise }
  },
  set(name, value) {
    try { localStorage.setItem(`sige.${name}`, JSON.stringify(value)) } catch { /* a browser that keeps nothing */ }
  },
}
