// Search where pages are opened as files: from a file browsers start no worker, so its script runs in a hidden frame.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      const start = () => {
        this.inside = frame.contentWindow
        this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        const script = this.inside.document.createElement("script")
        script.src = new URL(url, location.href)
        script.onload = () => {
          this.ready = true
          this.waiting.forEach(data => this.postMessage(data))
        }
        this.inside.document.body.append(script)
      }
      const attach = () => {
        document.body.append(frame)
        start()
      }
      document.body ? attach() : addEventListener("DOMContentLoaded", attach)
    }

    postMessage(data) {
      if (this.ready) this.inside.dispatchEvent(new MessageEvent("message", { data }))
      else this.waiting.push(data)
    }
  }
