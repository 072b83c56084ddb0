// Runs before the editor's page, and notes when the pen lifts, when the result's pixels are drawn and when a frame with
// them has been made. The page knows nothing of it.
(() => {
  const seen = window.__seen = { up: 0, drawn: 0, shown: 0, told: null }
  addEventListener('pointerup', event => Object.assign(seen, { up: event.timeStamp, drawn: 0, shown: 0, told: null }), true)
  const drew = () => {
    const drawn = seen.drawn = performance.now()
    requestAnimationFrame(() => {
      const after = new MessageChannel()
      after.port1.onmessage = () => { if (seen.drawn === drawn) seen.shown = performance.now() }
      after.port2.postMessage(null)
    })
  }
  for (const name of ['putImageData', 'drawImage']) {
    const own = CanvasRenderingContext2D.prototype[name]
    CanvasRenderingContext2D.prototype[name] = function (...given) {
      own.apply(this, given)
      if (this.canvas.id === 'layer-result' && seen.up) drew()
    }
  }
  const Native = WebSocket
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given)
      this.addEventListener('message', ({ data }) => {
        const message = typeof data === 'string' ? JSON.parse(data) : {}
        if (message.t === 'rendered') seen.told = message.figures
      })
    }
  }
})()
