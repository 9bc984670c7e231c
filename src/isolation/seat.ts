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
import { BackgroundRunnerError } from '../errors.js'
import type { Isolation } from '../task.js'
import type { Asked, Errand, Reply, ThreadLink, Told } from './protocol.js'

/** ms that a worker has until it calls its first handler: for its own start and the module's. */
const START = 60_000
/** As many lines of what a child wrote to stderr are looked at, in characters, to tell what it died of. */
const LAST_WORDS = 4_096

/** What a seat does for the errand that it runs. */
export interface Visitor {
  /** The handler is called. */
  begun(): void
  told(message: Told): void
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
  #visitor: Visitor | undefined
  /** Messages of this errand that have come, and what waits until all have. */
  #received = 0
  #awaited: { readonly sent: number; readonly resolve: () => void } | undefined
  #fail: (error: Error) => void = () => {}
  /** Why it was ended by us. */
  #ended: Error | undefined
  #over = false
  #closing = false
  #errands = 0

  constructor(
    isolation: Isolation,
    open: (seat: ConstructorParameters<typeof Tinypool>[0]) => Tinypool,
    filename: string,
  ) {
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
    this.#pool.on('error', (error) => this.#fail(error))
  }

  /** Whether another errand may be run here. */
  get isGood(): boolean {
    return !this.#over && this.#errands < this.#isolation.maxTasks
  }

  /**
   * Runs one errand; one at a time.
   *
   * @throws {BackgroundRunnerError} with the code WORKER_OUT_OF_MEMORY or WORKER_EXITED: the worker ended. The seat is no
   * good from then on.
   */
  async run(errand: Omit<Errand, 'number' | 'link'>, visitor: Visitor): Promise<Reply> {
    this.#errands++
    this.#number++
    this.#received = 0
    this.#visitor = visitor
    const number = this.#number
    let start: Alarm | undefined
    try {
      const died = new Promise<never>((_resolve, reject) => {
        this.#fail = reject
      })
      died.catch(() => {})
      const reply = this.#post({ ...errand, number })
      const worker = this.#worker as Worker
      if (worker.hasBegun) visitor.begun()
      else start = after(systemClock, START, () => this.end(new Error(`it did not start within ${START} ms`)))
      const answer = await Promise.race([reply, died])
      if (this.#received < answer.sent)
        await Promise.race([
          new Promise<void>((resolve) => {
            this.#awaited = { sent: answer.sent, resolve }
          }),
          died,
        ])
      return answer
    } catch (error) {
      if ((error as { name?: unknown } | undefined)?.name === 'DataCloneError') throw error
      this.#over = true
      throw await this.#death(error)
    } finally {
      start?.cancel()
      this.#visitor = undefined
      this.#awaited = undefined
      this.#fail = () => {}
    }
  }

  #post(errand: Errand): Promise<Reply> {
    const isThread = this.#isolation.place === 'thread'
    const before = this.#pool.threads[0]
    const link = isThread && (before === undefined || before !== this.#worker?.itself) ? this.#link() : undefined
    const reply: Promise<Reply> = this.#pool.run(link === undefined ? errand : { ...errand, link }, {
      transferList: [...(link === undefined ? [] : [link.port]), ...(isThread ? movable(errand.input) : [])],
      ...(!isThread && { channel: this.#channel }),
    })
    const itself = this.#pool.threads[0]
    if (itself !== undefined && itself !== this.#worker?.itself) this.#watch(itself)
    return reply
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
    if (message.number !== this.#number || this.#visitor === undefined) return
    this.#received++
    if (message.type === 'begun') {
      if (this.#worker !== undefined) this.#worker.hasBegun = true
      this.#visitor.begun()
    } else this.#visitor.told(message)
    if (this.#awaited !== undefined && this.#received >= this.#awaited.sent) this.#awaited.resolve()
  }

  /** Says something to the handler of the present errand. */
  ask(message: Asked extends infer Each ? (Each extends Asked ? Omit<Each, 'number'> : never) : never): void {
    try {
      this.#send({ ...message, number: this.#number } as Asked)
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
