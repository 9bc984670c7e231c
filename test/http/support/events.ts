/** Reads server-sent events as a browser does (WHATWG HTML, 9.2.6), one after the other. */
export interface SentEvent {
  readonly id: string
  readonly event: string
  readonly data: unknown
}

export class EventReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  #text = ''
  #lastId = ''
  /** All that came, comments too. */
  raw = ''

  constructor(response: Response) {
    if (response.body === null) throw new Error('no body')
    this.#reader = response.body.getReader()
  }

  /** The next event; undefined: the stream has ended. */
  async next(): Promise<SentEvent | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end >= 0) {
        const block = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        const event = this.#read(block)
        if (event !== undefined) return event
        continue
      }
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      const more = this.#decoder.decode(value, { stream: true })
      this.raw += more
      this.#text += more
    }
  }

  /** Reads until one fits. */
  async until(fits: (event: SentEvent) => boolean): Promise<SentEvent> {
    for (;;) {
      const event = await this.next()
      if (event === undefined) throw new Error('the stream has ended')
      if (fits(event)) return event
    }
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {})
  }

  #read(block: string): SentEvent | undefined {
    let event = 'message'
    let data: string | undefined
    for (const line of block.split('\n')) {
      const [, field, value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? []
      if (field === 'event') event = value
      if (field === 'id') this.#lastId = value
      if (field === 'data') data = data === undefined ? value : `${data}\n${value}`
    }
    return data === undefined ? undefined : { id: this.#lastId, event, data: JSON.parse(data) }
  }
}
