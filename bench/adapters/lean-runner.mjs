/**
 * What one writes by hand in an hour, written well: an id, a map of records, three events, a FIFO of its own. No retry, no
 * timeout, no cancel, no priority, no copy of the input, nothing is ever forgotten.
 */
import { EventEmitter } from 'eventemitter3'

class LeanRunner extends EventEmitter {
  records = new Map()
  #queue = []
  #next = 0
  #running = 0
  #ids = 0
  #idlers = []
  #handler
  #concurrency

  constructor(handler, concurrency) {
    super()
    this.#handler = handler
    this.#concurrency = concurrency
  }

  async submit(input) {
    const id = `task-${++this.#ids}`
    const record = { id, state: 'queued', input, output: undefined, error: undefined }
    record.createdAt = Date.now()
    record.startedAt = 0
    record.finishedAt = 0
    this.records.set(id, record)
    this.#queue.push(record)
    this.emit('submitted', record)
    if (this.#running < this.#concurrency) {
      this.#running++
      setImmediate(() => this.#drain())
    }
    return id
  }

  async #drain() {
    while (this.#next < this.#queue.length) {
      const record = this.#queue[this.#next++]
      if (this.#next > 10_000) {
        this.#queue.splice(0, this.#next)
        this.#next = 0
      }
      record.state = 'running'
      record.startedAt = Date.now()
      this.emit('started', record)
      try {
        record.output = await this.#handler(record.input)
        record.state = 'succeeded'
      } catch (error) {
        record.error = error
        record.state = 'failed'
      }
      record.finishedAt = Date.now()
      this.emit(record.state, record)
    }
    this.#running--
    if (this.#running === 0) for (const resolve of this.#idlers.splice(0)) resolve()
  }

  status(id) {
    return this.records.get(id)
  }

  onIdle() {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idlers.push(resolve))
  }
}

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const runner = new LeanRunner(handler, concurrency)
  return {
    runner,
    submit: (input) => runner.submit(input),
    onIdle: () => runner.onIdle(),
  }
}
