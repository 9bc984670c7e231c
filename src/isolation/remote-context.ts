/** `ctx` in a worker: what the handler says goes to the runner, in the order in which it was said. */
import { type Alarm, after, nextTurn, systemClock } from '../clock.js'
import { InvalidInputError, show } from '../errors.js'
import { copyJson, type Json, snapshot } from '../json.js'
import type { AttemptRecord } from '../record.js'
import { SavedState, type StateHolder } from '../saved-state.js'
import type { TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Asked, Facts, Limits, Reply, Told } from './protocol.js'

/** ms between two progresses that are sent: the runner shows fewer still, and a tight loop must not flood it. */
const PROGRESS_EVERY = 5

type Saying = Told extends infer Each ? (Each extends Told ? Omit<Each, 'number'> : never) : never
interface Save {
  readonly value: Json
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class RemoteContext implements TaskContext, StateHolder {
  readonly number: number
  readonly #facts: Facts
  readonly #limits: Limits
  readonly #send: (message: Told) => void
  #controller: AbortController | undefined
  #aborted: Error | undefined
  #stop: ((reason: Error) => void) | undefined
  ended = false
  stored: Json | undefined
  #state: SavedState | undefined
  #saves: Map<number, Save> | undefined
  #lastSave = 0
  /** The progress that waits to be sent. */
  #latest: { readonly value: Json } | undefined
  #sentAt = Number.NEGATIVE_INFINITY
  #alarm: Alarm | undefined
  readonly #progressEvery: number
  #heard = 0

  /** @param isWatched all progress is sent */
  constructor(number: number, facts: Facts, limits: Limits, send: (message: Told) => void, isWatched: boolean) {
    this.number = number
    this.#facts = facts
    this.#limits = limits
    this.#send = send
    this.#progressEvery = isWatched ? 0 : PROGRESS_EVERY
    this.stored = facts.rest?.stored
  }

  get id(): string {
    return this.#facts.id
  }
  get name(): string {
    return this.#facts.name
  }
  get attempt(): number {
    return this.#facts.attempt
  }
  get retries(): number {
    return this.#facts.retries
  }
  get createdAt(): number {
    return this.#facts.createdAt
  }
  get previous(): AttemptRecord | undefined {
    return copyJson(this.#facts.rest?.previous)
  }
  get metadata(): Json | undefined {
    return copyJson(this.#facts.rest?.metadata)
  }
  get context(): Json | undefined {
    return copyJson(this.#facts.rest?.context)
  }
  get saved(): Json | undefined {
    return this.#saved().saved
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  get progress(): TaskContext['progress'] {
    return (value) => {
      const taken = this.take(value, 'progress')
      if (this.ended) return
      this.#latest = { value: taken }
      const wait = this.#sentAt + this.#progressEvery - systemClock.monotonic()
      if (wait <= 0) this.flush()
      else this.#alarm ??= after(systemClock, wait, () => this.flush(), 'background')
    }
  }

  get save(): TaskContext['save'] {
    return (value) => this.#saved().save(value)
  }

  get step(): TaskContext['step'] {
    return ((name, work) => this.#saved().step(name, work)) as TaskContext['step']
  }

  #saved(): SavedState {
    this.#state ??= new SavedState(this)
    return this.#state
  }

  get title(): string {
    return `attempt ${this.attempt} of task ${show(this.id)}`
  }

  store(value: Json): Promise<void> {
    return new Promise((resolve, reject) => {
      const save = ++this.#lastSave
      this.#saves ??= new Map()
      this.#saves.set(save, { value, resolve, reject })
      this.#say({ type: 'save', value, save })
    })
  }

  get log(): TaskContext['log'] {
    return (message, fields) => {
      if (this.ended) return
      if (fields === undefined) return this.#say({ type: 'log', message })
      const { errors, others } = apart(fields)
      try {
        this.#say({ type: 'log', message, fields: others, errors })
      } catch {
        this.#say({ type: 'log', message: String(message), fields: sendable(others), errors })
      }
    }
  }

  /** `work`, unless the runner asks to stop before it is done. */
  async unlessStopped<Result>(work: () => Promise<Result>): Promise<Result> {
    const stopped = new Promise<never>((_resolve, reject) => {
      this.#stop = reject
    })
    if (this.#aborted !== undefined) throw this.#aborted
    return Promise.race([work(), stopped])
  }

  /**
   * The handler is called now.
   *
   * @param isSeen the runner sees that as well; it is told if the handler has not ended in its first turn
   * @throws the reason why not: the runner has asked to stop before
   */
  begin(isSeen: boolean): void {
    if (this.#aborted !== undefined) throw this.#aborted
    if (!isSeen) return this.#say({ type: 'begun' })
    nextTurn(() => {
      if (!this.ended) this.#say({ type: 'begun' })
    })
  }

  fault(error: unknown): void {
    this.#say({ type: 'fault', error: carried(error) })
  }

  /** What the runner says. */
  hear(message: Exclude<Asked, { readonly type: 'errand' }>): void {
    this.#heard++
    if (message.type === 'abort') {
      this.#aborted = revived(message.reason)
      this.#controller?.abort(this.#aborted)
      return this.#stop?.(this.#aborted)
    }
    const save = this.#saves?.get(message.save)
    this.#saves?.delete(message.save)
    if (message.error !== undefined) return save?.reject(revived(message.error))
    this.stored = save?.value
    save?.resolve()
  }

  /** It waits for the runner. */
  waits(): void {
    this.#say({ type: 'waits', heard: this.#heard })
  }

  /** The end: from here on the handler can write no more. */
  reply(reply: Reply): void {
    this.#say({ type: 'reply', reply })
    this.ended = true
  }

  /** Sends the progress that waits. */
  flush(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
    if (this.#latest === undefined) return
    const { value } = this.#latest
    this.#latest = undefined
    this.#sentAt = systemClock.monotonic()
    this.#tell({ type: 'progress', value })
  }

  #say(what: Saying): void {
    this.flush() // what was said before comes before
    this.#tell(what)
  }

  #tell(what: Saying): void {
    this.#send({ ...what, number: this.number } as Told)
  }

  take(value: unknown, what: string): Json {
    const taken = snapshot(value, this.#limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the ${what} of ${this.name}`, taken.issues, { paths: false })
  }
}

/** The fields of a log line, its errors for themselves: a channel would make nothing of them. */
function apart(fields: Readonly<Record<string, unknown>>): {
  errors: Record<string, ReturnType<typeof carried>>
  others: Record<string, unknown>
} {
  const errors: Record<string, ReturnType<typeof carried>> = {}
  const others: Record<string, unknown> = {}
  try {
    for (const [key, value] of Object.entries(fields)) {
      if (value instanceof Error) errors[key] = carried(value)
      else others[key] = typeof value === 'function' || typeof value === 'symbol' ? show(value) : value
    }
  } catch {
    // a proxy that does not tell its keys
  }
  return { errors, others }
}

/** The fields of a log line, those that cannot be sent as text. */
function sendable(fields: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> {
  const texts: [string, unknown][] = []
  try {
    for (const [key, value] of Object.entries(fields ?? {})) {
      const taken = snapshot(value)
      texts.push([key, 'value' in taken ? taken.value : show(value)])
    }
  } catch {
    // a proxy that does not tell its keys
  }
  return Object.fromEntries(texts)
}
