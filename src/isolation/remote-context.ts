/** `ctx` in a worker: what the handler says goes to the runner, in the order in which it was said. */
import { type Alarm, after, systemClock } from '../clock.js'
import { InvalidInputError, show } from '../errors.js'
import { copyJson, type Json, snapshot } from '../json.js'
import type { AttemptRecord } from '../record.js'
import { SavedState, type StateHolder } from '../saved-state.js'
import type { TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Asked, Errand, Facts, Limits, Reply, Told } from './protocol.js'

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
  #sent = 0
  ended = false
  stored: Json | undefined
  #state: SavedState | undefined
  #saves: Map<number, Save> | undefined
  /** The progress that waits to be sent. */
  #latest: { readonly value: Json } | undefined
  #sentAt = Number.NEGATIVE_INFINITY
  #alarm: Alarm | undefined

  constructor({ number, facts }: Errand, limits: Limits, send: (message: Told) => void) {
    this.number = number
    this.#facts = facts
    this.#limits = limits
    this.#send = send
    this.stored = facts[8]
  }

  get id(): string {
    return this.#facts[0]
  }
  get name(): string {
    return this.#facts[1]
  }
  get attempt(): number {
    return this.#facts[2]
  }
  get retries(): number {
    return this.#facts[3]
  }
  get createdAt(): number {
    return this.#facts[4]
  }
  get previous(): AttemptRecord | undefined {
    return copyJson(this.#facts[5])
  }
  get metadata(): Json | undefined {
    return copyJson(this.#facts[6])
  }
  get context(): Json | undefined {
    return copyJson(this.#facts[7])
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
      const wait = this.#sentAt + PROGRESS_EVERY - systemClock.monotonic()
      if (wait <= 0) this.#flush()
      else this.#alarm ??= after(systemClock, wait, () => this.#flush(), 'background')
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
      const save = this.#sent
      this.#saves ??= new Map()
      this.#saves.set(save, { value, resolve, reject })
      this.#say({ type: 'save', value, save })
    })
  }

  get log(): TaskContext['log'] {
    return (message, fields) => {
      if (!this.ended) this.#say({ type: 'log', message, fields })
    }
  }

  /** The handler is called now. */
  begin(): void {
    this.#say({ type: 'begun' })
  }

  fault(error: unknown): void {
    this.#say({ type: 'fault', error: carried(error) })
  }

  /** What the runner says. */
  hear(message: Asked): void {
    if (message.type === 'abort') {
      this.#aborted = revived(message.reason)
      this.#controller?.abort(this.#aborted)
      return
    }
    const save = this.#saves?.get(message.save)
    this.#saves?.delete(message.save)
    if (message.error !== undefined) return save?.reject(revived(message.error))
    this.stored = save?.value
    save?.resolve()
  }

  /** The end: from here on the handler can write no more. */
  reply(
    what: { readonly output?: ReturnType<typeof snapshot> } | { readonly error: ReturnType<typeof carried> },
  ): Reply {
    this.#flush()
    this.ended = true
    return { ...what, sent: this.#sent }
  }

  #flush(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
    if (this.#latest === undefined) return
    const { value } = this.#latest
    this.#latest = undefined
    this.#sentAt = systemClock.monotonic()
    this.#tell({ type: 'progress', value })
  }

  #say(what: Saying): void {
    this.#flush() // what was said before comes before
    this.#tell(what)
  }

  #tell(what: Saying): void {
    this.#sent++
    this.#send({ ...what, number: this.number } as Told)
  }

  take(value: unknown, what: string): Json {
    const taken = snapshot(value, this.#limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the ${what} of ${this.name}`, taken.issues, { paths: false })
  }
}
