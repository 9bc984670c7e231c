/**
 * What a task keeps from one attempt to the next: `ctx.saved`, `ctx.save` and `ctx.step`.
 *
 * A step that is done is not done again: what it gave is stored before it resolves, in one JSON value with what the
 * handler saves itself. Without steps the handler's own value is all there is.
 */
import { InvalidInputError, InvalidStateError, show } from './errors.js'
import { copyJson, type Json } from './json.js'

/** Where the state is stored. */
export interface StateHolder {
  /** `attempt 1 of task "…"`, for messages. */
  readonly title: string
  /** The attempt has ended: it can write no more. */
  readonly ended: boolean
  /** As it is stored. */
  readonly stored: Json | undefined
  /** A copy of a value. @throws {InvalidInputError} JSON cannot hold it @param what it is, for the message */
  take(value: unknown, what: string): Json
  /** Resolves when it is stored. */
  store(value: Json): Promise<void>
}

/** Marks a value that holds steps. */
const STEPS = 'background-runner.steps'

/** A step and what it gave; nothing where that was undefined. */
type Done = readonly [name: string, result?: Json]

interface WithSteps {
  readonly [STEPS]: readonly Done[]
  readonly saved?: Json
}

/** What the handler itself has saved. */
function savedOf(stored: Json | undefined): Json | undefined {
  return hasSteps(stored) ? stored.saved : stored
}

function hasSteps(stored: unknown): stored is WithSteps {
  return typeof stored === 'object' && stored !== null && Object.hasOwn(stored, STEPS)
}

export class SavedState {
  readonly #holder: StateHolder
  /** What the handler saved last, stored or on its way. */
  #own: Json | undefined
  readonly #done: Map<string, Json | undefined>
  readonly #underway: Map<string, Promise<Json | undefined>> = new Map()

  constructor(holder: StateHolder) {
    const { stored } = holder
    this.#holder = holder
    this.#own = savedOf(stored)
    this.#done = new Map(hasSteps(stored) ? stored[STEPS].map(([name, result]) => [name, result]) : [])
  }

  /** What was saved last and is stored. */
  get saved(): Json | undefined {
    return copyJson(savedOf(this.#holder.stored))
  }

  save(value: unknown): Promise<void> {
    const saved = this.#save(value)
    // A handler that was abandoned may save without awaiting it: that must not end the process.
    saved.catch(() => {})
    return saved
  }

  async #save(value: unknown): Promise<void> {
    this.#own = this.#holder.take(value, 'saved state')
    await this.#store()
  }

  /** What `work` gives, this time or when it was done. Two that go on under one name are one. */
  async step(name: string, work: () => unknown): Promise<Json | undefined> {
    if (typeof name !== 'string' || name === '' || typeof work !== 'function')
      throw new InvalidInputError('bad step', [
        { path: [], message: `step takes a name and a function, got ${show(name)} and ${show(work)}` },
      ])
    this.#checkOngoing() // what `work` did could not be kept
    if (this.#done.has(name)) return copyJson(this.#done.get(name))
    let underway = this.#underway.get(name)
    if (underway === undefined) {
      underway = this.#do(name, work).finally(() => this.#underway.delete(name))
      this.#underway.set(name, underway)
    }
    return copyJson(await underway)
  }

  async #do(name: string, work: () => unknown): Promise<Json | undefined> {
    const result = await work()
    const taken = result === undefined ? undefined : this.#holder.take(result, `result of the step ${show(name)}`)
    this.#done.set(name, taken)
    try {
      await this.#store()
    } catch (error) {
      this.#done.delete(name) // it would be told to be done, and is not
      throw error
    }
    return taken
  }

  #checkOngoing(): void {
    const { ended, title } = this.#holder
    if (ended) throw new InvalidStateError(`${title} has ended: it can save no more`)
  }

  async #store(): Promise<void> {
    this.#checkOngoing()
    const own = this.#own
    if (this.#done.size === 0) return this.#holder.store(own as Json)
    const done = [...this.#done].map(([name, result]) => (result === undefined ? [name] : [name, result]))
    return this.#holder.store({ [STEPS]: done, ...(own !== undefined && { saved: own }) })
  }
}
