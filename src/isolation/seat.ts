/**
 * One worker: its start, its errands, one at a time, and its end.
 *
 * What tinypool does for us is starting and ending threads and child processes alike: a pool of one worker each, which it
 * opens. A larger pool of its could not be relied upon: it does not notice a thread that exits by itself or a child that
 * lets go of its channel, leaves a task waiting for ever if its worker does not start, and does not say which worker had
 * which task. And its own way of calling costs more than all the rest of a short task.
 */
import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Tinypool, TinypoolWorker } from 'tinypool'
import { type Alarm, after, nextTurn, systemClock } from '../clock.js'
import { news } from '../elsewhere.js'
import { BackgroundRunnerError, RetryLaterError, show } from '../errors.js'
import type { AttemptRecord } from '../record.js'
import type { Isolation } from '../task.js'
import { carried } from './carried-error.js'
import { ChildLife, type Life, ThreadLife } from './life.js'
import {
  type Asked,
  type Beginning,
  CALLED,
  type Errand,
  type Limits,
  type Reply,
  TAKEN,
  type ThreadLink,
  type Told,
} from './protocol.js'

/** ms that a worker has until it calls its first handler: for its own start and the module's. */
const START = 60_000
/** ms that one which has served before has until it calls the next: what an earlier handler left behind may hold it. */
const WAKE = 2_000
/** ms after which a thread is looked at that has said nothing: its handler may have been called, and hold its loop. */
const LOOK = 5
/** ms that one which has nothing to do has to end by itself: less than a runner that closes waits for it. */
const END = 500
/** The longest time that Node's timers know, ms. */
const NEVER = 2_147_483_647

/** Whose errand it is. */
export interface Caller {
  /** The handler is called. */
  begun(): void
  told(message: Told): void
  /** What has befallen its worker when it was served already. */
  fault(error: Error): void
  /** The end of it. */
  replied(reply: Reply): void
  /**
   * The end of it where there is no reply, when the worker is gone. Undefined: it never began, and through no fault of its
   * own: it was given to a worker that had served others, and that ended. Otherwise a BackgroundRunnerError with the code
   * WORKER_OUT_OF_MEMORY, WORKER_EXITED or INPUT_NOT_SENT, the reason of whoever ended it, or a RetryLaterError: an earlier
   * errand ended the worker.
   */
  lost(error: Error | undefined): void
}

/** The errand that a worker has. */
interface Present {
  readonly number: number
  readonly caller: Caller
  /** Of earlier attempts, the last one. */
  readonly previous: AttemptRecord | undefined
  /** Others have been served here before. */
  readonly isLater: boolean
  /** Memory of its input has gone to the worker, and is not here any more. */
  readonly hasMoved: boolean
  /** Rings when it is time to look whether it has begun. */
  limit: Alarm
  hasBegun: boolean
  /** It was looked for, and had not begun. */
  isLate: boolean
}

type Message<Each extends { readonly number: number }> = Each extends unknown ? Omit<Each, 'number'> : never

export class Seat {
  readonly #isolation: Isolation
  readonly #pool: Tinypool
  readonly #life: Life
  #port: MessagePort | undefined
  /** What it shares with a thread: see protocol.ts. */
  #shared: Int32Array | undefined
  #send: ((message: Asked, moved?: ArrayBuffer[]) => void) | undefined
  /** What is to be sent when the worker is open; undefined from then on. */
  #unsent: (() => void)[] | undefined = []
  #number = 0
  #present: Present | undefined
  /** Who was here last. */
  #last: Caller | undefined
  /** Why it was ended by us. */
  #ended: Error | undefined
  /** It was held by what an earlier errand left behind, and ended by us. */
  #wasHeld = false
  /** Node does not load again what it could not load once. */
  #cannotLoad = false
  #over = false
  #closing: Promise<void> | undefined
  /** When it was left, on the monotonic clock, ms. */
  idleSince = 0

  constructor(
    isolation: Isolation,
    limits: Limits,
    open: (seat: ConstructorParameters<typeof Tinypool>[0]) => Tinypool,
    filename: string,
  ) {
    this.#isolation = isolation
    const { place, memory, file } = isolation
    const isThread = place === 'thread'
    const megabytes = memory === undefined ? undefined : Math.floor(memory / MB)
    this.#pool = open({
      runtime: isThread ? 'worker_threads' : 'child_process',
      filename,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: NEVER, // to tinypool a worker has nothing to do once it is open
      // A worker that waits is not to be stopped dead: what a handler left behind has its turn then, and not during the next.
      useAtomics: false,
      env: { ...process.env } as Record<string, string>,
      ...(isThread
        ? {
            ...threadArguments(),
            ...(megabytes !== undefined && { resourceLimits: { maxOldGenerationSizeMb: megabytes } }),
          }
        : { execArgv: childArguments(megabytes) }),
    })
    this.#pool.on('error', () => {}) // its life tells of it
    const link = isThread ? this.#newLink() : undefined
    const beginning: Beginning = {
      file,
      limits,
      ...(link === undefined ? { parent: process.pid } : { link }),
      ...(news.hasSubscribers && { isWatched: true }),
    }
    const opened = started(() =>
      this.#pool.run(beginning, link === undefined ? { channel: this.#channel } : { transferList: [link.port] }),
    )
    this.#life = this.#watched(this.#pool.threads[0] as TinypoolWorker)
    opened.then(
      () => this.#isOpen(),
      () => this.#life.kill(),
    )
  }

  /** Whether another errand may be run here. */
  get isGood(): boolean {
    return !this.#over && !this.#cannotLoad && !this.#life.isOver && this.#number < this.#isolation.maxTasks
  }

  /** Takes one errand, when the last one is done. */
  take(errand: Errand, caller: Caller): void {
    const isLater = this.#life.hasBegun
    const { moved, buffers } = this.#isolation.place === 'thread' ? bytesIn(errand.input) : NO_BYTES
    const present: Present = {
      number: ++this.#number,
      caller,
      previous: errand.facts.rest?.previous,
      isLater,
      hasMoved: moved.length > 0,
      limit: after(systemClock, isLater ? LOOK : START, () => this.#look(present)),
      hasBegun: false,
      isLate: false,
    }
    this.#present = present
    this.#life.hold()
    this.#whenOpen(() => {
      try {
        this.#sendErrand({ ...errand, ...buffers, type: 'errand', number: present.number }, moved)
      } catch (error) {
        this.#leave(present)
        caller.lost(notSent(error))
      }
    })
  }

  #sendErrand(errand: Asked, moved: ArrayBuffer[]): void {
    try {
      this.#send?.(errand, moved)
    } catch (error) {
      if (moved.length === 0) throw error
      this.#send?.(errand) // memory that cannot be moved, such as WebAssembly's, is copied
    }
  }

  /** Says something to the handler of an errand, if that still runs. */
  ask(caller: Caller, message: Message<Asked>): void {
    const present = this.#present
    if (present?.caller !== caller) return
    this.#whenOpen(() => {
      if (present === this.#present) this.#send?.({ ...message, number: present.number } as Asked)
    })
  }

  /** Ends the worker of an errand, whatever it does; the errand is lost with this reason when the worker is gone. */
  end(caller: Caller, reason: Error): void {
    if (this.#present?.caller !== caller) return
    this.#ended ??= reason
    this.#kill()
  }

  #kill(): void {
    this.#over = true
    this.#life.kill()
  }

  #leave(present: Present): void {
    present.limit.cancel()
    this.#present = undefined
    this.#last = present.caller
    if (!this.#over) this.#life.letGo()
  }

  // Its worker.

  #isOpen(): void {
    const unsent = this.#unsent ?? []
    this.#unsent = undefined
    for (const each of unsent) each()
  }

  #whenOpen(send: () => void): void {
    if (this.#unsent === undefined) send()
    else this.#unsent.push(send)
  }

  /** What a thread gets and sends its messages by. */
  #newLink(): ThreadLink {
    const { port1, port2 } = new MessageChannel()
    const shared = new Int32Array(new SharedArrayBuffer(8))
    this.#port = port1
    this.#shared = shared
    port1.on('message', (message) => this.#hear(message))
    port1.unref() // the thread itself holds this process, while it has an errand
    this.#send = (message, moved) => port1.postMessage(message, moved)
    return { port: port2, shared }
  }

  /** What a child process gets and sends its messages by. */
  readonly #channel = {
    onMessage: (send: (message: Asked) => void): void => {
      this.#send = send
    },
    postMessage: (message: Told): void => this.#hear(message),
  }

  #watched(itself: TinypoolWorker): Life {
    // As tinypool ends it, it waits by `once` of node:events, which falls over an error if this is not there.
    if (!('removeListener' in itself)) Object.assign(itself, { removeListener: () => itself })
    const life =
      this.#isolation.place === 'thread'
        ? new ThreadLife(
            itself,
            () => this.#pool.threads.includes(itself),
            () => this.#hearAll(),
          )
        : new ChildLife(itself)
    void life.gone.then(() => this.#isGone(life))
    return life
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
    if (this.#shared !== undefined) {
      Atomics.add(this.#shared, TAKEN, 1)
      Atomics.notify(this.#shared, TAKEN)
    }
    if (message.type === 'end') this.#life.lastWords = message.words
    const present = this.#present
    if (present === undefined || message.number !== present.number) return
    const { caller } = present
    if (message.type === 'begun' || this.#isCalled(present)) this.#begins(present)
    switch (message.type) {
      case 'reply':
        this.#cannotLoad = !this.#life.hasBegun && codeOf(message.reply) === 'MODULE_NOT_LOADED'
        this.#leave(present)
        return caller.replied(message.reply)
      case 'begun':
      case 'end':
        return
      default:
        caller.told(message)
    }
  }

  #begins(present: Present): void {
    if (present.hasBegun) return
    present.hasBegun = true
    this.#life.hasBegun = true
    present.limit.cancel()
    present.caller.begun()
  }

  /** Whether its handler was called, as can be seen in a thread, whatever that does. */
  #isCalled({ number }: Present): boolean {
    return this.#shared !== undefined && Atomics.load(this.#shared, CALLED) === number
  }

  #look(present: Present): void {
    // What it has said may lie there unread, if this process was busy for long.
    nextTurn(() =>
      nextTurn(() => {
        if (present.hasBegun || present !== this.#present) return
        if (this.#isCalled(present)) return this.#begins(present)
        if (present.isLater && !present.isLate) {
          present.isLate = true
          present.limit = after(systemClock, WAKE, () => this.#look(present))
          return
        }
        if (present.isLater) this.#wasHeld = true
        else this.#ended ??= exited(`${this.#what} was ended: it did not start within ${START} ms`)
        this.#kill()
      }),
    )
  }

  #isGone(life: Life): void {
    this.#over = true
    this.#tellBlame(life)
    const present = this.#present
    if (present === undefined) return
    if (this.#isCalled(present)) this.#begins(present)
    this.#leave(present)
    const neverBegan = present.isLater && !present.hasBegun && !present.hasMoved
    present.caller.lost(this.#ended ?? (neverBegan ? undefined : this.#death(present, life)))
  }

  get #what(): string {
    return this.#isolation.place === 'thread' ? 'the worker thread' : 'the worker process'
  }

  /** Why there is no reply, when the worker is gone. */
  #death({ number, hasBegun, previous }: Present, life: Life): Error {
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
    if (by.number === this.#present?.number) return // it is told so itself
    const caller = this.#present?.caller ?? this.#last
    caller?.fault(exited(`what task ${show(by.id)} left behind ended its worker: ${this.#what} ${how}`, uncaught))
  }

  /** Resolves when nothing of it is left. */
  close(): Promise<void> {
    this.#over = true
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#present !== undefined) this.#life.kill()
    const patience = after(systemClock, END, () => this.#life.kill())
    await Promise.all([this.#pool.destroy().catch(() => {}), this.#life.gone])
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

function codeOf(reply: Reply): string | undefined {
  return 'error' in reply ? reply.error.record.code : undefined
}

/**
 * What tinypool does wrong as it starts a child: it raises the limit of listeners on our output by one, and of none makes a
 * limit of one; and where there are no files left for its pipes (EMFILE) it falls over that, before it listens to its error.
 *
 * @throws {BackgroundRunnerError} with the code WORKER_EXITED: it could not even be tried
 */
function started<Result>(start: () => Result): Result {
  const limits = [process.stdout, process.stderr].map((each) => [each, each.getMaxListeners()] as const)
  const children: ChildProcess[] = []
  const note = (message: unknown): void => void children.push((message as { readonly process: ChildProcess }).process)
  subscribe('child_process', note)
  try {
    const result = start()
    for (const [each, limit] of limits) if (limit === 0) each.setMaxListeners(0)
    return result
  } catch (cause) {
    for (const [each, limit] of limits) each.setMaxListeners(limit)
    for (const child of children) child.on('error', () => {})
    const isWithoutPipes = children.some((child) => child.send === undefined)
    throw exited('the worker could not be started', isWithoutPipes ? new Error('too many open files') : cause)
  } finally {
    unsubscribe('child_process', note)
  }
}

const MB = 1_048_576

/** What is this process's own: the port of a debugger, a program in the arguments (`-e`), being a test runner. */
const OWN = /^(?:-[ep]+$|--(?:eval|print|input-type|inspect|test$))/
/** What follows these is theirs. */
const TAKES_VALUE = /^(?:-[ep]+|--(?:eval|print|input-type|inspect-port|inspect-publish-uid))$/

/** Those of this process, without being told; unless it was told what its program is, which goes for no file. */
function threadArguments(): { execArgv?: string[] } {
  return process.execArgv.some((each) => each.startsWith('--input-type')) ? { execArgv: childArguments(undefined) } : {}
}

/** The flags of this process, for a child. */
function childArguments(megabytes: number | undefined): string[] {
  const inherited = process.execArgv.filter((each, i, all) => !OWN.test(each) && !TAKES_VALUE.test(all[i - 1] ?? ''))
  if (megabytes === undefined) return inherited
  return [
    ...inherited.filter((each) => !/^--max[-_]old[-_]space[-_]size/.test(each)),
    `--max-old-space-size=${megabytes}`,
  ]
}

/** What is worth to be moved and not copied, bytes. */
const WORTH_MOVING = 65_536

interface Bytes {
  /** The memory of large ones; a schema made them, for this attempt. */
  readonly moved: ArrayBuffer[]
  readonly buffers?: Pick<Errand, 'buffers'>
}

const NO_BYTES: Bytes = { moved: [] }

/** Bytes in an input, on their way to a thread. */
function bytesIn(input: unknown): Bytes {
  const moved = new Set<ArrayBuffer>()
  const buffers: Buffer[] = []
  const seen = new Set<unknown>()
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    if (ArrayBuffer.isView(value)) {
      const { buffer, byteLength } = value
      if (Buffer.isBuffer(value)) buffers.push(value)
      if (buffer instanceof ArrayBuffer && byteLength >= WORTH_MOVING && byteLength === buffer.byteLength)
        moved.add(buffer)
    } else if (Array.isArray(value) || value instanceof Set) value.forEach(look)
    else if (value instanceof Map) for (const entry of value) entry.forEach(look)
    else if (Object.prototype.toString.call(value) === '[object Object]') Object.values(value).forEach(look)
  }
  try {
    look(input)
  } catch {
    return NO_BYTES // too deep, or a getter that throws: sending it will say so
  }
  return { moved: [...moved], ...(buffers.length > 0 && { buffers: { buffers } }) }
}
