/**
 * Group commit: all that is asked for in one turn of the event loop is done in one transaction, in the order in which it
 * was asked, and answered after its commit.
 *
 * A commit costs ten times what a statement costs, so this is what throughput hangs on. A group stops taking in work after
 * a few ms, so that the event loop stays free; what is left is the next group. What comes of a transaction that fails:
 *
 * - The file is busy (another process writes): all of it is tried again a little later; no call here ever waits.
 * - The file is in trouble (a full disk): what was tried is refused with an `EngineError`.
 * - Anything else may be the fault of one: each is tried in a transaction of its own, and refused if it is the one.
 * - The file is gone or damaged: this and all that is asked from then on is refused.
 *
 * What insists (a verdict on an attempt) is not refused while there is hope: it is tried until it can be written, or until
 * the store closes.
 */
import { nextTurn, systemClock } from '../clock.js'
import { BackgroundRunnerError, EngineError } from '../errors.js'
import { Queue } from '../local/queue.js'
import { type Database, problemOf, type Statement } from './driver.js'
import { asEngineError, UnusableFileError } from './fault.js'

/** ms of work after which a group takes in no more. */
const BUDGET = 4
/** ms after which what finds the file busy is refused. */
const PATIENCE = 10_000
/** The same for what is still to be written when the store closes. */
const LAST_PATIENCE = 1_000
/** ms between two tries: the longer it has been busy the longer, and not in step with others. */
const SHORTEST_PAUSE = 1
const LONGEST_PAUSE = 25
/** ms until what insists is tried again after a fault that is not a busy file. */
const FAULT_PAUSE = 250

interface Ask {
  readonly writes: boolean
  readonly insists: boolean
  readonly since: number
  readonly work: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** What came of it in the transaction that is open. */
  answer: unknown
  refusal: BackgroundRunnerError | undefined
}

/** An answer that is known only when all of the group is written. */
export class Later<Answer> {
  answer: Answer | undefined
}

export interface Hooks {
  /** Before anything is read or written. @throws {UnusableFileError} */
  check(): void
  // What is called around each transaction that writes.
  begun(): void
  beforeCommit(): void
  committed(): void
  rolledBack(): void
  /** The file is gone or damaged: nothing is read or written any more. */
  lost(error: EngineError): void
}

export class GroupCommit {
  readonly #database: Database
  readonly #path: string
  readonly #random: () => number
  readonly #hooks: Hooks
  readonly #begin: Statement
  readonly #commit: Statement
  readonly #asked: Queue<Ask> = new Queue()
  /** What insists and could not be written: it is asked for again after a pause. */
  #kept: Ask[] = []
  /** What is to happen when the transaction that is open has been committed. */
  #afters: (() => void)[] = []
  /** And what if it comes to nothing. */
  #undos: (() => void)[] = []
  #planned = false
  /** ms until the next try, while the file is busy. */
  #pause = 0
  /** So many are tried one by one, since one of them has failed the others. */
  #suspects = 0
  #isFit = true
  /** Why nothing is asked any more. */
  #over: EngineError | undefined

  /** @param path for messages */
  constructor(database: Database, path: string, random: () => number, hooks: Hooks) {
    this.#database = database
    this.#path = path
    this.#random = random
    this.#hooks = hooks
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
  }

  /** Nothing waits to be done. */
  get isIdle(): boolean {
    return this.#asked.length === 0
  }

  /**
   * Reads: after what was asked before, or at once where there is nothing, or where that cannot be done now since another
   * process writes, for how long nobody knows. @throws {EngineError}
   */
  read<Answer>(work: () => Answer): Answer | Promise<Answer> {
    if (this.#over !== undefined) throw this.#over
    if (this.#asked.length > 0 && this.#pause === 0) return this.#ask(work, false, false)
    try {
      this.#hooks.check()
      return work()
    } catch (error) {
      if (problemOf(error) === 'busy') return this.#ask(work, false, false)
      throw this.#judge(error)
    }
  }

  /**
   * Writes, in the next group. `work` may run several times, so it changes nothing but the file, and tells by `after`
   * what else is to change. Its answer may come by `beforeCommit`.
   */
  write<Answer>(work: () => Answer | Later<Answer>, insists: boolean = false): Promise<Answer> {
    return this.#ask(work, true, insists)
  }

  /** Within `work`: what is to happen once its transaction has been committed. It does not throw. */
  after(then: () => void): void {
    this.#afters.push(then)
  }

  /** Within `work`: takes back what could not wait for the commit, should the transaction come to nothing. */
  undo(back: () => void): void {
    this.#undos.push(back)
  }

  #ask<Answer>(work: () => Answer | Later<Answer>, writes: boolean, insists: boolean): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#over !== undefined) return reject(this.#over)
      this.#asked.push({
        writes,
        insists,
        since: systemClock.monotonic(),
        work,
        resolve: resolve as (value: unknown) => void,
        reject,
        answer: undefined,
        refusal: undefined,
      })
      this.#plan()
    })
  }

  #plan(): void {
    if (this.#planned || this.#asked.length === 0) return
    this.#planned = true
    if (this.#pause === 0) nextTurn(this.#run)
    else systemClock.setTimeout(this.#run, this.#pause * (0.5 + this.#random()))
  }

  #run: () => void = () => {
    this.#planned = false
    this.#flush()
    this.#plan()
  }

  /** One group. A group that begins with reads ends before the first write: it needs no transaction. */
  #flush(): void {
    if (this.#asked.length === 0) return
    const began = systemClock.monotonic()
    const writes = this.#asked.at(0)?.writes === true
    let tried = 0
    try {
      this.#hooks.check()
      if (writes) {
        this.#begin.run()
        this.#hooks.begun()
      }
      for (let ask = this.#asked.at(0); ask !== undefined; ask = this.#asked.at(tried)) {
        if (tried > 0 && (this.#suspects > 0 || systemClock.monotonic() - began > BUDGET)) break
        if (ask.writes && !writes) break
        tried++
        attempt(ask)
      }
      if (writes) {
        this.#hooks.beforeCommit()
        this.#commit.run()
      }
    } catch (error) {
      return this.#failed(error, Math.max(tried, 1))
    }
    this.#pause = 0
    this.#suspects = Math.max(0, this.#suspects - tried)
    const afters = this.#afters
    this.#afters = []
    this.#undos = []
    for (const after of afters) after()
    for (const { resolve, reject, answer, refusal } of this.#asked.take(tried)) {
      if (refusal === undefined) resolve(answer instanceof Later ? answer.answer : answer)
      else reject(refusal)
    }
    if (writes) this.#hooks.committed()
  }

  #failed(error: unknown, tried: number): void {
    this.#rollBack()
    const problem = problemOf(error)
    if (problem === 'busy') return this.#wait(error)
    const told = this.#judge(error)
    if (problem === 'other' && tried > 1) {
      this.#suspects = tried
      return
    }
    this.#suspects = Math.max(0, this.#suspects - tried)
    for (const ask of this.#asked.take(tried)) {
      if (ask.insists) this.#keep(ask)
      else ask.reject(told)
    }
  }

  #rollBack(): void {
    this.#afters = []
    for (const back of this.#undos.splice(0).reverse()) back()
    try {
      this.#database.exec('ROLLBACK')
    } catch {
      // There was none, or SQLite has rolled it back; if there still is one, the next group fails and comes here again.
    }
    this.#hooks.rolledBack()
  }

  /** Another process writes. */
  #wait(error: unknown): void {
    this.#pause = Math.min(Math.max(this.#pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE)
    const now = systemClock.monotonic()
    if (now - (this.#asked.at(0)?.since ?? now) <= PATIENCE) return
    for (const ask of this.#asked.take(this.#asked.length)) {
      if (ask.insists || now - ask.since <= PATIENCE) this.#asked.push(ask)
      else ask.reject(asEngineError(error, this.#path))
    }
  }

  #keep(ask: Ask): void {
    if (this.#kept.push(ask) > 1) return
    systemClock.setTimeout(() => {
      this.#askAgain()
      this.#plan()
    }, FAULT_PAUSE)
  }

  #askAgain(): void {
    for (const ask of this.#kept.splice(0)) this.#asked.push(ask)
  }

  /** The error as it is told; if it says that the file is gone or damaged, that was all. */
  #judge(error: unknown): BackgroundRunnerError {
    const told = asEngineError(error, this.#path)
    if (told instanceof UnusableFileError) {
      if (this.#isFit) this.#hooks.lost(told)
      this.#isFit = false
      this.#end(told)
    }
    return told
  }

  #end(why: EngineError): void {
    this.#over ??= why
    this.#askAgain()
    for (const { reject } of this.#asked.take(this.#asked.length)) reject(why)
  }

  /**
   * Takes no more, and tries for a moment what is still to be written; what cannot be done then never will be.
   *
   * @returns whether the file was fit for use until the end
   */
  async close(): Promise<boolean> {
    const since = systemClock.monotonic()
    const closed = new EngineError('the database is closed')
    this.#over ??= closed
    this.#askAgain()
    while (this.#asked.length > 0) {
      this.#flush()
      if (this.#pause === 0) continue
      if (systemClock.monotonic() - since > LAST_PATIENCE) break
      await new Promise<void>((resolve) => void systemClock.setTimeout(resolve, this.#pause))
    }
    this.#end(closed)
    return this.#isFit
  }
}

function attempt(ask: Ask): void {
  ask.refusal = undefined
  try {
    ask.answer = ask.work()
  } catch (error) {
    if (!(error instanceof BackgroundRunnerError) || error instanceof UnusableFileError) throw error
    ask.refusal = error // and nothing was written
  }
}
