/**
 * Group commit: all that is asked for in one turn of the event loop is done in one transaction, in the order in which it
 * was asked, and answered after its commit.
 *
 * A commit costs ten times what a statement costs, so this is what throughput hangs on. A group stops taking in work after
 * a few ms, so that the event loop stays free; what is left is the next group. What finds the file busy (another process
 * writes) is tried again a little later: no call here ever waits. What cannot be done is refused with an `EngineError`,
 * except for what insists (a verdict on an attempt): that is tried until it can be written, or until the store closes.
 */
import { nextTurn, systemClock } from '../clock.js'
import { BackgroundRunnerError, EngineError } from '../errors.js'
import { type Database, type Problem, problemOf, type Statement } from './driver.js'

/** ms of work after which a group takes in no more. */
const BUDGET = 4
/** ms after which what finds the file busy is refused. */
const PATIENCE = 10_000
/** ms between two tries: the longer it has been busy the longer, and not in step with others. */
const SHORTEST_PAUSE = 1
const LONGEST_PAUSE = 25
/** ms until what insists is tried again after a fault that is not a busy file. */
const FAULT_PAUSE = 250

interface Ask {
  readonly writes: boolean
  readonly insists: boolean
  readonly since: number
  work(): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** What is called around each transaction that writes. */
export interface Hooks {
  begun(): void
  beforeCommit(): void
  committed(): void
  rolledBack(): void
}

export class GroupCommit {
  readonly #database: Database
  readonly #random: () => number
  #asked: Ask[] = []
  /** What is to happen when the transaction that is open has been committed. */
  #afters: (() => void)[] = []
  /** And what if it comes to nothing. */
  #undos: (() => void)[] = []
  #planned = false
  #pause = 0
  #closed = false
  /** After a fault each is tried in a transaction of its own, so that one cannot fail the others. */
  #alone = false
  readonly #hooks: Hooks
  readonly #begin: Statement
  readonly #commit: Statement

  constructor(database: Database, random: () => number, hooks: Hooks) {
    this.#database = database
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
    this.#random = random
    this.#hooks = hooks
  }

  /** Nothing waits to be done. */
  get isIdle(): boolean {
    return this.#asked.length === 0
  }

  /** Reads: at once where nothing was asked before, otherwise after that. */
  read<Answer>(work: () => Answer): Answer | Promise<Answer> {
    if (this.#asked.length === 0 && !this.#closed) {
      try {
        return work()
      } catch (error) {
        if (problemOf(error) !== 'busy') throw asEngineError(error)
      }
    }
    return this.#ask(work, false, false)
  }

  /**
   * Writes, in the next group. `work` may run several times, so it changes nothing but the file, and tells by `after`
   * what else is to change.
   */
  write<Answer>(work: () => Answer, insists: boolean = false): Promise<Answer> {
    return this.#ask(work, true, insists)
  }

  /** Within `work`: what is to happen once its transaction has been committed. */
  after(then: () => void): void {
    this.#afters.push(then)
  }

  /** Within `work`: takes back what could not wait for the commit, should the transaction come to nothing. */
  undo(back: () => void): void {
    this.#undos.push(back)
  }

  #ask<Answer>(work: () => Answer, writes: boolean, insists: boolean): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#closed) return reject(closed())
      this.#asked.push({
        writes,
        insists,
        since: systemClock.monotonic(),
        work,
        resolve: resolve as (value: unknown) => void,
        reject,
      })
      this.#plan()
    })
  }

  #plan(): void {
    if (this.#planned || this.#asked.length === 0) return
    this.#planned = true
    nextTurn(this.#run)
  }

  #run: () => void = () => {
    this.#planned = false
    this.#flush()
    this.#plan()
  }

  #later(ms: number): void {
    this.#planned = true
    systemClock.setTimeout(this.#run, ms)
  }

  /** One group. */
  #flush(): void {
    const began = systemClock.monotonic()
    const answered: { readonly ask: Ask; readonly value?: unknown; readonly error?: unknown }[] = []
    const writes = this.#asked.some((ask) => ask.writes)
    let done = 0
    try {
      if (writes) {
        this.#begin.run()
        this.#hooks.begun()
      }
      for (const ask of this.#asked) {
        if (done > 0 && (this.#alone || systemClock.monotonic() - began > BUDGET)) break
        done++
        try {
          answered.push({ ask, value: ask.work() })
        } catch (error) {
          if (!(error instanceof BackgroundRunnerError)) throw error
          answered.push({ ask, error }) // refused, and nothing was written
        }
      }
      if (writes) {
        this.#hooks.beforeCommit()
        this.#commit.run()
      }
    } catch (error) {
      return this.#failed(error, Math.max(done, 1))
    }
    this.#pause = 0
    this.#alone = false
    this.#asked = done === this.#asked.length ? [] : this.#asked.slice(done)
    const afters = this.#afters
    this.#afters = []
    this.#undos = []
    for (const after of afters) after()
    for (const each of answered) {
      if ('error' in each) each.ask.reject(each.error)
      else each.ask.resolve(each.value)
    }
    if (writes) this.#hooks.committed()
  }

  #failed(error: unknown, tried: number): void {
    this.#afters = []
    for (const back of this.#undos.splice(0).reverse()) back()
    try {
      this.#database.exec('ROLLBACK')
    } catch {
      // there was none, or SQLite has rolled it back
    }
    this.#hooks.rolledBack()
    const problem = problemOf(error)
    if (problem === 'busy') return this.#wait(error)
    if (tried > 1) {
      this.#alone = true
      return
    }
    const [first, ...others] = this.#asked
    if (first === undefined) return
    if (!first.insists) {
      this.#asked = others
      first.reject(asEngineError(error))
      return
    }
    this.#asked = [...others, first]
    this.#alone = true
    if (this.#asked.every((ask) => ask.insists)) this.#later(FAULT_PAUSE)
  }

  /** Another process writes. */
  #wait(error: unknown): void {
    const now = systemClock.monotonic()
    const over = (ask: Ask): boolean => !ask.insists && now - ask.since > PATIENCE
    for (const ask of this.#asked.filter(over)) ask.reject(asEngineError(error))
    this.#asked = this.#asked.filter((ask) => !over(ask))
    this.#pause = Math.min(Math.max(this.#pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE)
    if (this.#asked.length > 0) this.#later(this.#pause * (0.5 + this.#random()))
  }

  /** Tries what was asked once more; what cannot be done now never will be. */
  close(): void {
    while (!this.#closed && this.#asked.length > 0) {
      const before = this.#asked.length
      this.#flush()
      if (this.#asked.length >= before) break
    }
    this.#closed = true
    for (const { reject } of this.#asked.splice(0)) reject(closed())
  }
}

const SAYS: Readonly<Record<Problem, string>> = {
  busy: 'another process held the database for too long',
  full: 'the disk is full',
  readonly: 'the database cannot be written',
  corrupt: 'the database is damaged',
  foreign: 'the file is no SQLite database',
  unopenable: 'the database cannot be opened',
  io: 'the database cannot be read or written',
  other: 'the database refused',
}

/** @param path named where it helps */
export function asEngineError(error: unknown, path?: string): unknown {
  if (error instanceof BackgroundRunnerError) return error
  const said = error instanceof Error ? error.message : String(error)
  const what = SAYS[problemOf(error)]
  return new EngineError(`${path === undefined ? '' : `${path}: `}${what}: ${said}`, { cause: error })
}

function closed(): EngineError {
  return new EngineError('the database is closed')
}
