/**
 * A place for one handler at a time: a pool of tinypool with one worker.
 *
 * One worker each, since a larger pool of tinypool's cannot be relied upon: it does not notice a thread that exits by
 * itself or a child that lets go of its channel, leaves a task waiting for ever if its worker does not start, and does not
 * say which worker had which task. With one worker whatever happens is the worker's that runs the errand. What tinypool
 * does for us is starting, feeding and ending threads and child processes alike, and ending those that have nothing to do.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Tinypool, TinypoolWorker } from 'tinypool'
import { type Alarm, after, nextTurn, systemClock } from '../clock.js'
import { news } from '../elsewhere.js'
import { BackgroundRunnerError, RetryLaterError, show } from '../errors.js'
import type { AttemptRecord } from '../record.js'
import type { Isolation } from '../task.js'
import { carried } from './carried-error.js'
import { ChildLife, type Life, ThreadLife } from './life.js'
import type { Asked, Beginning, Errand, Limits, Reply, ThreadLink, Told } from './protocol.js'

/** ms that a worker has until it calls its first handler: for its own start and the module's. */
const START = 60_000
/** ms that one which has served before has until it calls the next: what an earlier handler left behind may hold it. */
const WAKE = 2_000
/** ms that one which has nothing to do has to end by itself: less than a runner that closes waits for it. */
const END = 500

/** What a seat does for the errand that it runs. */
export interface Visitor {
  /** The handler is called. */
  begun(): void
  told(message: Told): void
  /** What has befallen its worker when it was served already. */
  fault(error: Error): void
}

type Message<Each extends { readonly number: number }> = Each extends unknown ? Omit<Each, 'number'> : never

/** One errand at a seat. */
export class Visit {
  readonly number: number
  readonly visitor: Visitor
  /**
   * Undefined: it never began, and through no fault of its own: it was given to a worker that had served others, and that
   * ended.
   *
   * @throws {BackgroundRunnerError} with the code WORKER_OUT_OF_MEMORY or WORKER_EXITED: the worker ended
   * @throws {BackgroundRunnerError} with the code INPUT_NOT_SENT: the input cannot go to another thread or process
   * @throws {RetryLaterError} an earlier errand ended the worker
   */
  readonly done: Promise<Reply | undefined>
  readonly replied: Promise<void>
  /** Resolves when its worker is gone. Of the visit: what waits for the worker's own end is kept as long as that lives. */
  readonly left: Promise<void>
  hasBegun = false
  reply: Reply | undefined
  /** How many messages the handler was sent, or will be. */
  asked = 0
  /** Rings if it does not begin. */
  limit: Alarm | undefined
  workerIsGone!: () => void
  life: Life | undefined
  readonly #seat: Seat
  #resolve!: () => void

  constructor(number: number, visitor: Visitor, seat: Seat, perform: (visit: Visit) => Promise<Reply | undefined>) {
    this.number = number
    this.visitor = visitor
    this.replied = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.left = new Promise((resolve) => {
      this.workerIsGone = resolve
    })
    this.#seat = seat
    this.done = perform(this)
  }

  hear(message: Told): void {
    if (message.type === 'begun') {
      this.hasBegun = true
      this.limit?.cancel()
      this.visitor.begun()
    } else if (message.type === 'reply') {
      this.reply = message.reply
      this.#resolve()
    } else this.visitor.told(message)
  }

  /** Says something to the handler. */
  ask(message: Message<Asked>): void {
    this.#seat.ask({ ...message, number: this.number } as Asked)
  }

  /** Ends the worker, whatever it does; `done` rejects with this reason when it is gone. */
  end(reason: Error): void {
    this.#seat.end(this, reason)
  }
}

type ToSend = Omit<Errand, 'number' | 'first'>

export class Seat {
  readonly #isolation: Isolation
  readonly #pool: Tinypool
  /** The worker that was started last; it may have ended since. */
  #life: Life | undefined
  readonly #limits: Limits
  /** What goes along until the worker has been heard of. */
  #first: Beginning | undefined
  #port: MessagePort | undefined
  #taken: Int32Array | undefined
  #send: ((message: Asked) => void) | undefined
  /** What there was to say before the worker could be told. */
  #unsent: Asked[] = []
  #number = 0
  #visit: Visit | undefined
  /** Who was here last. */
  #visitor: Visitor | undefined
  /** What the present worker has taken on. */
  #errands = 0
  /** Why it was ended by us. */
  #ended: Error | undefined
  /** It was held by what an earlier errand left behind, and ended by us. */
  #wasHeld = false
  #over = false
  #closing: Promise<void> | undefined

  constructor(
    isolation: Isolation,
    limits: Limits,
    open: (seat: ConstructorParameters<typeof Tinypool>[0]) => Tinypool,
    filename: string,
  ) {
    this.#isolation = isolation
    this.#limits = limits
    const { place, memory, idleTimeout } = isolation
    const megabytes = memory === undefined ? undefined : Math.floor(memory / MB)
    this.#pool = open({
      runtime: place === 'thread' ? 'worker_threads' : 'child_process',
      filename,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout,
      // A worker that waits is not to be stopped dead: what a handler left behind has its turn then, and not during the next.
      useAtomics: false,
      env: { ...process.env } as Record<string, string>,
      ...(place === 'thread'
        ? megabytes !== undefined && { resourceLimits: { maxOldGenerationSizeMb: megabytes } }
        : { execArgv: childArguments(megabytes) }),
    })
    this.#pool.on('error', () => {}) // of a worker without an errand; its life tells of it
  }

  /** Whether another errand may be run here. */
  get isGood(): boolean {
    return !this.#over && this.#errands < this.#isolation.maxTasks
  }

  /** Takes one errand, when the last one is done. If its worker ends, the seat is no good from then on. */
  take(errand: ToSend, visitor: Visitor): Visit {
    return new Visit(++this.#number, visitor, this, (visit) => this.#perform(errand, visit))
  }

  async #perform(errand: ToSend, visit: Visit): Promise<Reply | undefined> {
    this.#visit = visit
    try {
      await this.#isReady()
      return this.#ended === undefined ? await this.#run(errand, visit) : await Promise.reject(this.#ended)
    } finally {
      visit.limit?.cancel()
      this.#visit = undefined
      this.#visitor = visit.visitor
      this.#unsent = []
    }
  }

  /** A worker that had nothing to do and was ended is gone: there is never more than one. */
  async #isReady(): Promise<void> {
    if (this.#life === undefined || this.#pool.threads.length > 0) return
    this.#send = undefined
    this.#life.kill()
    await this.#life.gone
  }

  async #run(errand: ToSend, visit: Visit): Promise<Reply | undefined> {
    const moved = this.#isolation.place === 'thread' ? movable(errand.input) : []
    const response = this.#post({ ...errand, number: visit.number }, moved)
    const life = this.#life as Life
    const served = life.hasBegun
    visit.life = life
    visit.limit = after(systemClock, served ? WAKE : START, () => this.#beginsLate(visit, life, served))
    // tinypool, too, tells of a death, and sooner; but only when the worker is gone all is known.
    const isAlive = (): boolean => !life.isOver && this.#pool.threads.length > 0
    const settled = response.catch((error) => (isAlive() ? Promise.reject(notSent(error)) : life.gone))
    if (life.isOver) void life.gone.then(() => visit.workerIsGone())
    await Promise.race([settled, visit.left])
    if (visit.reply === undefined) await Promise.race([visit.replied, visit.left])
    if (life.isOver) await this.close()
    if (visit.reply !== undefined) return visit.reply
    if (this.#ended !== undefined) throw this.#ended
    if (served && !visit.hasBegun && moved.length === 0) return undefined
    throw this.#death(visit, life, errand.facts.rest?.previous)
  }

  #post(errand: Errand, moved: ArrayBuffer[]): Promise<unknown> {
    const isThread = this.#isolation.place === 'thread'
    const isNew = this.#pool.threads.length === 0
    if (isNew) {
      this.#errands = 0
      this.#send = undefined
      const watched = news.hasSubscribers ? ({ isWatched: true } as const) : {}
      const beginning = { file: this.#isolation.file, limits: this.#limits, ...watched }
      this.#first = isThread ? { ...beginning, link: this.#newLink() } : { ...beginning, parent: process.pid }
    }
    this.#errands++
    const first = this.#first
    const start = (): Promise<unknown> =>
      this.#pool.run(first === undefined ? errand : { ...errand, first }, {
        transferList: first?.link === undefined ? moved : [first.link.port, ...moved],
        ...(!isThread && { channel: this.#channel }),
      })
    if (!isNew) return start()
    const response = isThread ? start() : keepingUnlimited(start)
    this.#watch(this.#pool.threads[0] as TinypoolWorker)
    return response
  }

  /** What a thread sends its messages by. */
  #newLink(): ThreadLink {
    this.#port?.close()
    const { port1, port2 } = new MessageChannel()
    const taken = new Int32Array(new SharedArrayBuffer(4))
    this.#port = port1
    this.#taken = taken
    port1.on('message', (message) => this.#hear(message))
    port1.unref() // tinypool's own port holds the process while there is an errand
    this.#sendBy((message) => port1.postMessage(message))
    return { port: port2, taken }
  }

  /** What a child process sends its messages by. */
  readonly #channel = {
    onMessage: (send: (message: Asked) => void): void => this.#sendBy(send),
    postMessage: (message: Told): void => this.#hear(message),
  }

  #sendBy(send: (message: Asked) => void): void {
    this.#send = send
    for (const each of this.#unsent.splice(0)) send(each)
  }

  #watch(itself: TinypoolWorker): void {
    const life =
      this.#isolation.place === 'thread'
        ? new ThreadLife(
            itself,
            () => this.#pool.threads.includes(itself),
            () => this.#hearAll(),
          )
        : new ChildLife(itself)
    this.#life = life
    void life.gone.then(() => {
      if (life === this.#visit?.life) this.#visit.workerIsGone() // and not one that had to go before
      this.#tellBlame(life)
    })
  }

  /** What a thread that is gone has said before. */
  #hearAll(): void {
    for (;;) {
      const next = this.#port && receiveMessageOnPort(this.#port)
      if (next === undefined) return
      this.#hear(next.message)
    }
  }

  #hear(message: Told): void {
    if (this.#taken !== undefined) {
      Atomics.add(this.#taken, 0, 1)
      Atomics.notify(this.#taken, 0)
    }
    this.#first = undefined // it has it
    const life = this.#life
    if (life === undefined) return
    if (message.type === 'begun') life.hasBegun = true
    if (message.type === 'end') life.lastWords = message.words
    else if (message.number === this.#visit?.number) this.#visit.hear(message)
  }

  /** Says something to the handler of an errand, if that still runs. */
  ask(message: Asked): void {
    if (message.number !== this.#visit?.number) return
    if (this.#send === undefined) this.#unsent.push(message)
    else this.#send(message)
  }

  /** Ends the worker of this visit. */
  end(visit: Visit, reason: Error): void {
    if (visit !== this.#visit) return
    this.#ended ??= reason
    this.#over = true
    this.#life?.kill()
  }

  #beginsLate(visit: Visit, life: Life, served: boolean): void {
    // What it has said may lie there unread, if this process was busy for long.
    nextTurn(() =>
      nextTurn(() => {
        if (visit.hasBegun || visit.reply !== undefined || visit !== this.#visit) return
        if (served) this.#wasHeld = true
        else this.#ended ??= exited(`${this.#what} was ended: it did not start within ${START} ms`)
        this.#over = true
        life.kill()
      }),
    )
  }

  get #what(): string {
    return this.#isolation.place === 'thread' ? 'the worker thread' : 'the worker process'
  }

  /** Why there is no reply, when the worker is gone. */
  #death({ number, hasBegun }: Visit, life: Life, previous: AttemptRecord | undefined): Error {
    if (life.ranOutOfMemory) {
      const { memory } = this.#isolation
      const limit = memory === undefined ? '' : ` of ${memory / MB} MB`
      return new BackgroundRunnerError(
        'WORKER_OUT_OF_MEMORY',
        `${this.#what} needed more memory than its limit${limit}`,
      )
    }
    const { lastWords, how } = life
    const when = hasBegun ? 'before its handler had settled' : 'before it called its handler'
    const said = `${this.#what} ${how} ${when}`
    const isInnocent = this.#wasHeld || (lastWords?.by !== undefined && lastWords.by.number < number)
    // What two in a row die of is perhaps their own doing after all, with what an earlier one has made: a connection.
    if (isInnocent && !wasPutBack(previous))
      return notItsFault(`an earlier task left something behind: ${said}`, life.uncaught)
    return exited(said, life.uncaught)
  }

  /** Tells whose errand ended a worker that had none, or that had another one by then. */
  #tellBlame({ lastWords, how, uncaught }: Life): void {
    const by = lastWords?.by
    if (by === undefined) return
    // Of one that has replied nothing else will tell.
    if (by.number === this.#visit?.number && this.#visit.reply === undefined) return
    const visitor = this.#visit?.visitor ?? this.#visitor
    visitor?.fault(exited(`what task ${show(by.id)} left behind ended its worker: ${this.#what} ${how}`, uncaught))
  }

  /** Resolves when nothing of it is left. */
  close(): Promise<void> {
    this.#over = true
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const life = this.#life
    if (this.#visit !== undefined) life?.kill()
    const patience = after(systemClock, END, () => life?.kill())
    await Promise.all([this.#pool.destroy().catch(() => {}), life?.gone])
    patience.cancel()
    this.#port?.close()
  }
}

function exited(message: string, cause?: unknown): BackgroundRunnerError {
  const told = cause === undefined ? message : `${message}: ${carried(cause).record.message}`
  return new BackgroundRunnerError('WORKER_EXITED', told, { cause })
}

/** An end that costs the task no attempt. */
function notItsFault(message: string, cause: unknown): Error {
  const { message: told, code } = exited(message, cause)
  return Object.defineProperties(new RetryLaterError({ delay: 0, cause }), {
    message: { value: told, configurable: true, writable: true },
    code: { value: code, configurable: true, enumerable: true, writable: true },
  })
}

function wasPutBack(attempt: AttemptRecord | undefined): boolean {
  return attempt?.error?.code === 'WORKER_EXITED' && attempt.error.name === 'RetryLaterError'
}

export function notSent(cause: unknown): BackgroundRunnerError {
  const why = carried(cause).record.message
  return new BackgroundRunnerError('INPUT_NOT_SENT', `the input cannot be sent to a worker: ${why}`, { cause })
}

/** tinypool raises the limit of listeners on our output by one for each child; of none it would make a limit of one. */
function keepingUnlimited<Result>(start: () => Result): Result {
  const unlimited = [process.stdout, process.stderr].filter((each) => each.getMaxListeners() === 0)
  const result = start()
  for (const each of unlimited) each.setMaxListeners(0)
  return result
}

const MB = 1_048_576

/** What is this process's own: the port of a debugger, a program in the arguments (`-e`), being a test runner. */
const OWN = /^(?:-[ep]+$|--(?:eval|print|input-type|inspect|test$))/
const TAKES_PROGRAM = /^(?:-[ep]+|--eval|--print)$/

/** The flags of this process, for a child. */
function childArguments(megabytes: number | undefined): string[] {
  const inherited = process.execArgv.filter((each, i, all) => !OWN.test(each) && !TAKES_PROGRAM.test(all[i - 1] ?? ''))
  if (megabytes === undefined) return inherited
  return [
    ...inherited.filter((each) => !/^--max[-_]old[-_]space[-_]size/.test(each)),
    `--max-old-space-size=${megabytes}`,
  ]
}

/** What is worth to be moved and not copied, bytes. */
const WORTH_MOVING = 65_536

/** The memory of large buffers in an input; a schema made them, for this attempt. */
function movable(input: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>()
  const seen = new Set<unknown>()
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    if (ArrayBuffer.isView(value)) {
      const { buffer, byteLength } = value
      if (buffer instanceof ArrayBuffer && byteLength >= WORTH_MOVING && byteLength === buffer.byteLength)
        found.add(buffer)
    } else if (Array.isArray(value)) value.forEach(look)
    else if (Object.getPrototypeOf(value) === Object.prototype) Object.values(value).forEach(look)
  }
  try {
    look(input)
  } catch {
    return [] // too deep, or a getter that throws: sending it will say so
  }
  return [...found]
}
