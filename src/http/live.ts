/**
 * What changes, told to everybody who reads along, as server-sent events (WHATWG HTML, 9.2).
 *
 * One look at the runner serves all readers: ids that change are gathered, looked up once in a while, and written down
 * once. Beyond what a reader could follow nothing is looked up, and all are told to read again (`reset`). A reader who
 * does not read has a bounded buffer: when it is full nothing more is put in, and it begins with a `reset` later. So what
 * readers cost is bounded by time, not by how much goes on, nor by how they read.
 */
import { randomUUID } from 'node:crypto'
import type { BackgroundRunner, Clock, TaskRecord } from '../index.js'
import { respond } from './answer.js'
import { Problem } from './problem.js'
import type { Redact } from './redact.js'
import { later } from './time.js'
import { recordOf, summaryOf } from './view.js'

/** Between two looks, ms. */
const PACE = 250
/** Between two `counts`, and between two `reset`, ms. */
const SLOW_PACE = 1_000
/** Tasks that are looked up at once; if more have changed, readers are told to read again. */
const MOST_TOLD = 100
/** Ids that are gathered. */
const MOST_GATHERED = 1_000
/** Events that are kept for those who come back, and how many bytes of them. */
const MOST_KEPT = 1_000
const MOST_KEPT_BYTES = 1_048_576
/** What waits for one reader, bytes; one event more may. */
const BUFFER = 65_536
/** So often it is looked whether the runner has been closed, ms: a server that closes waits for its streams. */
const TICK = 1_000
/** After so many ticks a silent stream says that it lives: proxies cut what is silent for a minute. */
const HEARTBEAT = 15
/** Heartbeats after which a reader who has read nothing is given up. */
const MOST_MISSED = 8
/** With nobody there, for so long it still goes on, for those who come back, ms. */
const LINGER = 30_000
const MOST_READERS = 1_000

const encoder = new TextEncoder()
const encode = (text: string): Uint8Array => encoder.encode(text)

const RESET = encode('event: reset\ndata: {}\n\n')
const BEAT = encode(':\n\n')
const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store, no-transform',
  // Nginx would keep it until there is more.
  'X-Accel-Buffering': 'no',
}

/** One who reads along. */
class Reader {
  /** The tasks that it asked for; undefined: all, in short. */
  readonly tasks: ReadonlySet<string> | undefined
  readonly stream: ReadableStream<Uint8Array>
  /** Something could not be put in. */
  #behind = false
  /** Heartbeats since it last took anything. */
  #missed = 0
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined

  constructor(tasks: ReadonlySet<string> | undefined, closed: (reader: Reader) => void) {
    this.tasks = tasks
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          this.#missed = 0
          if (!this.#behind) return
          this.#behind = false
          this.#controller?.enqueue(RESET)
        },
        cancel: () => {
          this.#controller = undefined
          closed(this)
        },
      },
      { highWaterMark: BUFFER, size: (chunk) => chunk?.byteLength ?? 0 },
    )
  }

  write(bytes: Uint8Array): void {
    const controller = this.#controller
    if (controller === undefined) return
    if ((controller.desiredSize ?? 0) > 0) controller.enqueue(bytes)
    else this.#behind = true
  }

  /** False: nobody has read for long. */
  beat(): boolean {
    const room = (this.#controller?.desiredSize ?? 0) > 0
    if (room) {
      this.#controller?.enqueue(BEAT)
      this.#missed = 0
    } else this.#missed++
    return this.#missed < MOST_MISSED
  }

  close(): void {
    const controller = this.#controller
    this.#controller = undefined
    try {
      controller?.close()
    } catch {
      // It has ended already.
    }
  }
}

interface Kept {
  readonly number: number
  readonly bytes: Uint8Array
}

export class Live {
  readonly #runner: BackgroundRunner
  readonly #redact: Redact
  readonly #clock: Clock
  readonly #readers = new Set<Reader>()
  /** In the ids of events, so that those of another process, or of before a restart, are none of ours. */
  readonly #origin = randomUUID().slice(0, 8)
  #unwatch: (() => void) | undefined
  readonly #changed = new Set<string>()
  /** More has changed than was gathered. */
  #more = false
  #number = 0
  #kept: Kept[] = []
  #keptBytes = 0
  #look: (() => void) | undefined
  #looking = false
  #lookedAt = Number.NEGATIVE_INFINITY
  #slowAt = Number.NEGATIVE_INFINITY
  /** The counts are to be told. */
  #stale = false
  #reset = false
  #beating: (() => void) | undefined
  #ticks = 0
  #ending: (() => void) | undefined

  constructor(runner: BackgroundRunner, redact: Redact, clock: Clock) {
    this.#runner = runner
    this.#redact = redact
    this.#clock = clock
  }

  get readers(): number {
    return this.#readers.size
  }

  /** @throws {Problem} there are too many {RunnerClosedError} */
  open(request: Request, tasks: readonly string[] | undefined): Response {
    if (request.method === 'HEAD') return respond(null, 200, HEADERS)
    if (this.#readers.size >= MOST_READERS)
      throw new Problem(503, 'TOO_MANY_READERS', 'Too many read along.', { headers: { 'Retry-After': '10' } })
    this.#watch()
    const reader = new Reader(tasks === undefined ? undefined : new Set(tasks), (gone) => this.#left(gone))
    this.#readers.add(reader)
    request.signal.addEventListener('abort', () => {
      reader.close()
      this.#left(reader)
    })
    reader.write(encode('retry: 2000\n\n'))
    if (tasks === undefined) this.#resume(reader, request.headers.get('last-event-id'))
    else this.#gather(tasks)
    return respond(reader.stream, 200, HEADERS)
  }

  /** Gives a reader who comes back what it has missed. */
  #resume(reader: Reader, last: string | null): void {
    if (last === null) return
    const [, origin, number] = /^(\w+)-(\d+)$/.exec(last) ?? []
    const first = (this.#kept[0]?.number ?? this.#number + 1) - 1
    if (origin !== this.#origin || Number(number) < first) return reader.write(RESET)
    for (const { number: each, bytes } of this.#kept) if (each > Number(number)) reader.write(bytes)
  }

  #watch(): void {
    this.#ending?.()
    this.#ending = undefined
    if (this.#unwatch !== undefined) return
    this.#unwatch = this.#runner.watch((ids) => {
      if (ids.length === 0) this.#more = true
      this.#gather(ids)
    })
    this.#beat()
  }

  #left(reader: Reader): void {
    this.#readers.delete(reader)
    if (this.#readers.size > 0 || this.#ending !== undefined || this.#unwatch === undefined) return
    this.#ending = later(this.#clock, LINGER, () => this.#stop())
  }

  #stop(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#beating?.()
    this.#look?.()
    this.#ending?.()
    this.#beating = this.#look = this.#ending = undefined
    this.#changed.clear()
    this.#more = false
    // What happens from now on is not seen: whoever comes back has missed something.
    this.#number++
    this.#kept = []
    this.#keptBytes = 0
  }

  #beat(): void {
    this.#beating = later(this.#clock, TICK, () => {
      if (this.#isOver()) return
      this.#beat()
      if (++this.#ticks % HEARTBEAT !== 0) return
      for (const reader of this.#readers) {
        if (reader.beat()) continue
        reader.close()
        this.#left(reader)
      }
    })
  }

  /** A runner that has been closed tells nothing any more; nor does it say so, unless it is asked. */
  #isOver(): boolean {
    try {
      this.#runner.watch(() => {})()
      return false
    } catch (error) {
      this.#failed(error)
      return true
    }
  }

  #gather(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.#changed.size >= MOST_GATHERED) {
        this.#more = true
        break
      }
      this.#changed.add(id)
    }
    this.#stale = true
    this.#arm()
  }

  #arm(): void {
    if (this.#look !== undefined || this.#looking) return
    const since = this.#clock.monotonic() - this.#lookedAt
    this.#look = later(this.#clock, Math.max(0, PACE - since), () => {
      this.#look = undefined
      this.#looking = true
      this.#tell()
        .catch((error) => this.#failed(error))
        .finally(() => {
          this.#looking = false
          this.#lookedAt = this.#clock.monotonic()
          if (this.#unwatch !== undefined && (this.#changed.size > 0 || this.#more || this.#stale || this.#reset))
            this.#arm()
        })
    })
  }

  async #tell(): Promise<void> {
    const changed = [...this.#changed]
    const more = this.#more
    const flooded = more || changed.length > MOST_TOLD
    this.#changed.clear()
    this.#more = false
    const asked = new Set<string>()
    for (const { tasks } of this.#readers) for (const id of tasks ?? []) asked.add(id)
    // All that is looked up now; of a flood what somebody asked for by its id.
    const ids = more ? [...asked] : flooded ? changed.filter((id) => asked.has(id)) : changed
    if (flooded) this.#reset = true
    const records = await Promise.all(ids.map((id) => this.#runner.status(id)))
    for (const [at, id] of ids.entries()) this.#tellOf(id, records[at], asked.has(id), !flooded)
    const now = this.#clock.monotonic()
    if (now - this.#slowAt < SLOW_PACE) return
    this.#slowAt = now
    if (this.#reset) {
      this.#reset = false
      this.#number++
      this.#kept = []
      this.#keptBytes = 0
      for (const reader of this.#readers) if (reader.tasks === undefined) reader.write(RESET)
    }
    if (this.#stale) {
      this.#stale = false
      const counts = encode(`event: counts\ndata: ${JSON.stringify(await this.#runner.counts())}\n\n`)
      for (const reader of this.#readers) if (reader.tasks === undefined) reader.write(counts)
    }
  }

  #tellOf(id: string, record: TaskRecord | undefined, asked: boolean, all: boolean): void {
    const number = ++this.#number
    const event = (name: string, data: unknown): Uint8Array =>
      encode(`id: ${this.#origin}-${number}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
    if (all) {
      const bytes = record === undefined ? event('removed', { id }) : event('task', summaryOf(record, this.#redact))
      this.#keep({ number, bytes })
      for (const reader of this.#readers) if (reader.tasks === undefined) reader.write(bytes)
    }
    if (!asked) return
    const whole = record === undefined ? event('removed', { id }) : event('task', recordOf(record, this.#redact))
    for (const reader of this.#readers) if (reader.tasks?.has(id) === true) reader.write(whole)
  }

  #keep(kept: Kept): void {
    this.#kept.push(kept)
    this.#keptBytes += kept.bytes.byteLength
    let over = 0
    while (this.#kept.length - over > MOST_KEPT || this.#keptBytes > MOST_KEPT_BYTES) {
      this.#keptBytes -= (this.#kept[over++] as Kept).bytes.byteLength
    }
    if (over > 0) this.#kept.splice(0, over)
  }

  #failed(error: unknown): void {
    if ((error as { code?: unknown }).code === 'RUNNER_CLOSED') {
      for (const reader of this.#readers) reader.close()
      this.#readers.clear()
      this.#stop()
      return
    }
    // The engine is in trouble, and tells the app itself: what was to be told is not known, so any may have changed.
    this.#more = true
  }
}
