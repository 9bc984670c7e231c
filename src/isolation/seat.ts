/**
 * A place for one handler at a time: a pool of tinypool with one worker.
 *
 * One worker each, since a larger pool of tinypool's cannot be relied upon: it does not notice a thread that exits by
 * itself or a child that lets go of its channel, leaves a task waiting for ever if its worker does not start, and does not
 * say which worker had which task. With one worker whatever happens is the worker's that runs the errand. What tinypool
 * does for us is starting, feeding and ending threads and child processes alike, and ending those that have nothing to do.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { Tinypool, TinypoolWorker } from 'tinypool'
import { type Alarm, after, systemClock } from '../clock.js'
import { BackgroundRunnerError, NonRetryableError } from '../errors.js'
import type { Isolation } from '../task.js'
import type { CarriedError } from './carried-error.js'
import type { Asked, Errand, Facts, Limits, Reply, ThreadLink, Told } from './protocol.js'

/** ms that a worker has until it calls its first handler: for its own start and the module's. */
const START = 60_000
/** As many lines of what a child wrote to stderr are looked at, in characters, to tell what it died of. */
const LAST_WORDS = 4_096

export type OpenTinypool = (options: ConstructorParameters<typeof Tinypool>[0]) => Tinypool

/** Whom a seat tells of the errand that it runs. */
export interface Visitor {
  /** The handler is called. */
  begun(): void
  told(message: Told): void
}

/** The errand that goes on. */
interface Current {
  readonly number: number
  readonly visitor: Visitor
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: unknown) => void
  start: Alarm | undefined
  /** Messages that have come. */
  received: number
  /** What came before all of its messages had. */
  reply: Reply | undefined
}

/** A worker that ended without an error. */
class Exited extends Error {}

/** What is there of one worker. */
class Worker {
  readonly itself: TinypoolWorker
  /** How it ended, once it has. */
  end: { readonly code: number | null; readonly signal: string | null | undefined } | undefined
  words = ''
  hasBegun = false

  constructor(itself: TinypoolWorker) {
    this.itself = itself
  }
}

export class Seat {
  readonly #isolation: Isolation
  readonly #pool: Tinypool
  #worker: Worker | undefined
  #send: (message: Asked) => void = () => {}
  #port: MessagePort | undefined
  #taken: Int32Array | undefined
  #number = 0
  #current: Current | undefined
  /** Why it was ended by us. */
  #ended: Error | undefined
  #over = false
  #closing = false

  constructor(isolation: Isolation, open: OpenTinypool, filename: string) {
    this.#isolation = isolation
    const { place, memory, idleTimeout } = isolation
    const megabytes = memory === undefined ? undefined : Math.floor(memory / 1_048_576)
    this.#pool = open({
      runtime: place === 'thread' ? 'worker_threads' : 'child_process',
      filename,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout,
      // A worker that waits is not to be stopped dead: what a handler left behind has its turn then, and not during the next.
      useAtomics: false,
      serialization: 'advanced',
      env: { ...process.env } as Record<string, string>,
      ...(place === 'thread'
        ? megabytes !== undefined && { resourceLimits: { maxOldGenerationSizeMb: megabytes } }
        : { execArgv: childArguments(megabytes) }),
    })
    // Of a worker that dies with nothing to do, or before it is ready.
    this.#pool.on('error', (error) => this.#broke(this.#current, error))
  }

  /** Whether another errand may be run here. */
  get isGood(): boolean {
    return !this.#over && this.#number < this.#isolation.maxTasks
  }

  /**
   * Runs one errand; one at a time.
   *
   * @throws {BackgroundRunnerError} (rejects with it) with the code WORKER_OUT_OF_MEMORY or WORKER_EXITED: the worker
   * ended. The seat is no good from then on.
   */
  run(input: unknown, facts: Facts, limits: Limits, visitor: Visitor): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const number = ++this.#number
      const current: Current = { number, visitor, resolve, reject, start: undefined, received: 0, reply: undefined }
      this.#current = current
      this.#post({ number, input, facts }, limits).then(
        (reply) => this.#replied(current, reply),
        (error) => this.#broke(current, error),
      )
      if (this.#worker?.hasBegun) visitor.begun()
      else current.start = after(systemClock, START, () => this.end(new Error(`it did not start within ${START} ms`)))
    })
  }

  #post(errand: Errand, limits: Limits): Promise<Reply> {
    const isThread = this.#isolation.place === 'thread'
    if (this.#pool.threads[0] !== this.#worker?.itself) this.#worker = undefined // it had nothing to do, and was ended
    const isFirst = this.#worker?.hasBegun !== true
    const link = isThread && isFirst ? this.#link() : undefined
    const moved = isThread ? movable(errand.input) : []
    const { file } = this.#isolation
    const reply: Promise<Reply> = this.#pool.run(
      isFirst ? { ...errand, first: { file, limits: { ...limits }, link } } : errand,
      {
        transferList: link === undefined ? moved : [link.port, ...moved],
        ...(!isThread && { channel: this.#channel }),
      },
    )
    const itself = this.#pool.threads[0]
    if (this.#worker === undefined && itself !== undefined) this.#watch(itself)
    return reply
  }

  #replied(current: Current, reply: Reply): void {
    if (current.received < reply.sent) current.reply = reply
    else if (this.#leaves(current)) current.resolve(reply)
  }

  #broke(current: Current | undefined, error: unknown): void {
    if (current === undefined || !this.#leaves(current)) return
    const lives = this.#worker !== undefined && this.#pool.threads[0] === this.#worker.itself
    if (lives) return current.reject(unsendable(error)) // it was not even sent
    this.#over = true
    this.#death(error).then(current.reject)
  }

  /** The errand is over, if it was not before. */
  #leaves(current: Current): boolean {
    if (this.#current !== current) return false
    this.#current = undefined
    current.start?.cancel()
    return true
  }

  /** What a thread sends its messages by. */
  #link(): ThreadLink {
    this.#port?.close()
    const { port1, port2 } = new MessageChannel()
    const taken = new Int32Array(new SharedArrayBuffer(4))
    this.#port = port1
    this.#taken = taken
    port1.on('message', (message) => this.#hear(message))
    port1.unref() // tinypool's own port holds the process while there is an errand
    this.#send = (message) => port1.postMessage(message)
    return { port: port2, taken }
  }

  /** What a child process sends its messages by. */
  readonly #channel = {
    onMessage: (send: (message: Asked) => void): void => {
      this.#send = send
    },
    postMessage: (message: Told): void => this.#hear(message),
  }

  #watch(itself: TinypoolWorker): void {
    const worker = new Worker(itself)
    this.#worker = worker
    itself.once('exit', (code: number | null, signal?: string | null) => {
      worker.end = { code, signal }
      // tinypool hears of a thread's errors, and not of its exit.
      if (this.#isolation.place === 'thread' && !this.#closing) itself.emit('error', new Exited())
    })
    if (this.#isolation.place === 'thread') return
    // A child that lets go of its channel can tell nothing any more.
    itself.once('disconnect', () => this.#kill(worker))
    const { stderr } = (itself as unknown as { process: import('node:child_process').ChildProcess }).process
    stderr?.on('data', (chunk) => {
      worker.words = `${worker.words}${chunk}`.slice(-LAST_WORDS)
    })
  }

  #hear(message: Told): void {
    if (this.#taken !== undefined) {
      Atomics.add(this.#taken, 0, 1)
      Atomics.notify(this.#taken, 0)
    }
    const current = this.#current
    if (current === undefined || message.number !== current.number) return
    current.received++
    if (message.type === 'begun') {
      current.start?.cancel()
      if (this.#worker !== undefined) this.#worker.hasBegun = true
      current.visitor.begun()
    } else current.visitor.told(message)
    if (current.reply !== undefined) this.#replied(current, current.reply)
  }

  /** Asks the handler of the present errand to stop. */
  abort(reason: CarriedError): void {
    this.ask({ type: 'abort', reason, number: this.#number })
  }

  ask(message: Asked): void {
    try {
      this.#send(message)
    } catch {
      // It is dead, which is told elsewhere.
    }
  }

  /** Ends the worker, whatever it does; `run` rejects with this reason when it is gone. */
  end(reason: Error): void {
    this.#ended ??= reason
    this.#over = true
    if (this.#worker !== undefined) this.#kill(this.#worker)
  }

  #kill({ itself, end }: Worker): void {
    if (end !== undefined) return
    if (this.#isolation.place === 'thread') itself.terminate().catch(() => {})
    else {
      try {
        process.kill(itself.threadId, 'SIGKILL')
      } catch {
        // It is gone already.
      }
    }
  }

  /** What the worker died of, when it is really gone. */
  async #death(cause: unknown): Promise<Error> {
    await this.close()
    if (this.#ended !== undefined) return this.#ended
    const worker = this.#worker
    const code = (cause as { code?: unknown } | undefined)?.code
    const { place, memory } = this.#isolation
    const what = place === 'thread' ? 'the worker thread' : 'the worker process'
    if (code === 'ERR_WORKER_OUT_OF_MEMORY' || /heap out of memory/.test(worker?.words ?? '')) {
      const limit = memory === undefined ? '' : ` of ${memory / 1_048_576} MB`
      return new BackgroundRunnerError('WORKER_OUT_OF_MEMORY', `${what} needed more memory than its limit${limit}`)
    }
    const { end } = worker ?? {}
    const how = end?.signal ? `by ${end.signal}` : end?.code === undefined ? '' : `with code ${end.code}`
    return new BackgroundRunnerError('WORKER_EXITED', `${what} ended ${how} before its handler had settled`, { cause })
  }

  /** Resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#over = true
    this.#closing = true
    this.#port?.close()
    await this.#pool.destroy().catch(() => {})
  }
}

/** As an input that its schema refuses: another attempt cannot help. */
function unsendable(cause: unknown): NonRetryableError {
  const why = (cause as { readonly message?: unknown } | undefined)?.message
  return new NonRetryableError(`what the schema made of the input cannot be sent to a worker: ${why}`, {
    code: 'INVALID_INPUT',
    cause,
  })
}

/** The flags of this process, but those of a debugger: its port is taken. */
function childArguments(megabytes: number | undefined): string[] {
  const inherited = process.execArgv.filter((each) => !/^--inspect/.test(each))
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
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if (ArrayBuffer.isView(value)) {
      const { buffer, byteLength } = value
      if (buffer instanceof ArrayBuffer && byteLength >= WORTH_MOVING && byteLength === buffer.byteLength)
        found.add(buffer)
    } else if (Array.isArray(value)) value.forEach(look)
    else if (Object.getPrototypeOf(value) === Object.prototype) Object.values(value).forEach(look)
  }
  look(input)
  return [...found]
}
