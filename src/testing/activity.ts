/**
 * What a handler waits for on the real machine: a file, a socket, a child, a timer, a hash.
 *
 * Virtual time must not pass a handler by that really does something, and must not wait for one that waits for virtual
 * time. An async hook tells them apart: it sees what is begun in the async context of each handler, and when it is over.
 * A request on a connection that is open already begins nothing that a hook sees; `fetch` and `node:http` tell of each on a
 * diagnostics channel, and so does our library of handlers in workers and of mails. Both only look on, change nothing, and
 * are on only while a handler runs.
 */
import { AsyncLocalStorage, AsyncResource, createHook } from 'node:async_hooks'
import { type ChannelListener, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { stopwatch } from './real-time.js'

/** Something of Node that works outside of the event loop. Each has some of these, none is public. */
interface Resource {
  hasRef?(): boolean
  /** Set on a job of the thread pool, unless it was done at once. */
  readonly ondone?: unknown
  /** What a zlib stream works on. */
  readonly buffer?: unknown
  /** A request of `node:http` that is over. */
  readonly destroyed?: boolean
}

interface Pending {
  readonly type: string
  readonly resource: Resource
}

/** What our library tells of work that is done elsewhere: see `elsewhere.ts` there. */
interface News {
  readonly work: object
  readonly what?: string
  readonly is?: 'going on' | 'waiting' | 'over' | 'asked'
  readonly progress?: unknown
}

/** Seen from their beginning to their end: nothing hidden follows from them. */
const PLAIN: ReadonlySet<string> = new Set(['Timeout', 'Immediate'])
/** What a stream leaves to the end of the turn. A write that is done at once leaves no other trace. */
const TICK = 'TickObject'
/** A request of which a client tells. */
const REQUEST = 'a request'

/** In whose name something runs, for each activity that has a say in it. */
interface Frame {
  readonly activity: object
  readonly owner: object
  readonly outer: Frame | undefined
}

/** One for all: Node 20 keeps each storage that was ever used, and asks it about everything that is begun from then on. */
const scope: AsyncLocalStorage<Frame> = new AsyncLocalStorage()

/** Tells of each `Owner`, the body that runs within its name, what it waits for. */
export class Activity<Owner extends object> {
  /** By async id, or by the request itself. */
  readonly #running: Map<Owner, Map<number | object, Pending>> = new Map()
  readonly #owners: Map<number | object, Owner> = new Map()
  /** What is done elsewhere, and what to call it; undefined: it waits for what it is told from here. */
  readonly #elsewhere: Map<Owner, Map<object, string | undefined>> = new Map()
  readonly #ownerOf: WeakMap<object, Owner> = new WeakMap()
  readonly #said: ((owner: Owner, progress: unknown) => void) | undefined
  readonly #mostSilence: number
  /** Since when an owner that spoke to the world has been silent. */
  readonly #silence: WeakMap<Owner, () => number> = new WeakMap()
  readonly #hook = createHook({
    init: (id, type, _trigger, resource) => this.#begun(id, type, resource),
    after: (id) => this.#called(id),
    destroy: (id) => this.#over(id),
  })
  /** What the clients of Node tell. */
  readonly #channels: readonly (readonly [name: string, listener: ChannelListener])[] = [
    ['undici:request:create', (told) => this.#asked(told)],
    ['undici:request:trailers', (told) => this.#answered(told)],
    ['undici:request:error', (told) => this.#answered(told)],
    ['http.client.request.start', (told) => this.#asked(told)],
    ['background-runner.elsewhere', (told) => this.#heard(told as News)],
  ]

  /**
   * @param mostSilence real ms after which an owner that spoke to the world is believed to wait for nothing: what it waits
   *   for may have been opened by somebody else (a connection of a pool), and is not seen
   * @param said hears the progress of handlers elsewhere
   */
  constructor(mostSilence: number, said?: (owner: Owner, progress: unknown) => void) {
    this.#mostSilence = mostSilence
    this.#said = said
  }

  /** Whose body calls; undefined outside of all. */
  get current(): Owner | undefined {
    for (let frame = scope.getStore(); frame !== undefined; frame = frame.outer)
      if (frame.activity === this) return frame.owner as Owner
    return undefined
  }

  /** Runs `body` in the name of `owner`, which is watched until it has settled. */
  async within<Result>(owner: Owner, body: () => Promise<Result>): Promise<Result> {
    if (this.#running.size === 0) this.#look()
    this.#running.set(owner, new Map())
    try {
      return await this.as(owner, body)
    } finally {
      for (const id of this.#running.get(owner)?.keys() ?? []) this.#owners.delete(id)
      this.#running.delete(owner)
      this.#elsewhere.delete(owner)
      if (this.#running.size === 0) this.#lookAway()
    }
  }

  /** Calls `body` in the name of `owner`, and watches nothing. */
  as<Result>(owner: Owner, body: () => Result): Result {
    const around = scope.getStore()
    return scope.run({ activity: this, owner, outer: around?.activity === this ? around.outer : around }, body)
  }

  /** What `owner` waits for, by Node's names for it (`TCPWRAP`, `Timeout`); empty: nothing that the machine does. */
  pending(owner: Owner): readonly string[] {
    const elsewhere = this.#elsewhere.get(owner)
    // What it takes to have it done there says nothing: a worker is held open while it waits.
    if (elsewhere !== undefined) return [...elsewhere.values()].filter((what) => what !== undefined)
    const pending = this.#running.get(owner)
    if (pending === undefined) return []
    const all = [...pending.values()].filter(isAtWork).map(({ type }) => type)
    const silence = this.#silence.get(owner)?.() ?? Number.POSITIVE_INFINITY
    return all.length === 0 && silence < this.#mostSilence ? ['an answer'] : all
  }

  #look(): void {
    this.#hook.enable()
    for (const [name, listener] of this.#channels) subscribe(name, listener)
  }

  #lookAway(): void {
    this.#hook.disable()
    for (const [name, listener] of this.#channels) unsubscribe(name, listener)
  }

  #asked(told: unknown): void {
    const { request } = told as { readonly request: object }
    this.#begun(request, REQUEST, request)
  }

  #answered(told: unknown): void {
    this.#over((told as { readonly request: object }).request)
  }

  /** By its first news a work belongs to whoever's body has begun it. */
  #heard({ work, what, is, progress }: News): void {
    const owner = this.#ownerOf.get(work) ?? this.current
    if (owner === undefined || !this.#running.has(owner)) return
    if (is === 'asked') return void this.#silence.set(owner, stopwatch())
    this.#ownerOf.set(work, owner)
    if (progress !== undefined) this.#said?.(owner, progress)
    if (is === undefined) return
    const works = this.#elsewhere.get(owner) ?? new Map<object, string | undefined>()
    if (is === 'over') works.delete(work)
    else works.set(work, is === 'waiting' ? undefined : (what ?? 'something'))
    if (works.size > 0) this.#elsewhere.set(owner, works)
    else this.#elsewhere.delete(owner)
  }

  #begun(id: number | object, type: string, resource: object): void {
    if (type === 'PROMISE') return
    const owner = this.current
    // A resource made in JavaScript carries a context, and does nothing by itself.
    if (owner === undefined || resource instanceof AsyncResource) return
    const pending = this.#running.get(owner)
    if (pending === undefined) return
    if (!PLAIN.has(type)) this.#silence.set(owner, stopwatch())
    if (type === TICK) return
    pending.set(id, { type, resource })
    this.#owners.set(id, owner)
  }

  #called(id: number): void {
    const owner = this.#owners.get(id)
    const pending = owner && this.#running.get(owner)?.get(id)
    if (owner === undefined || pending === undefined) return
    if (!PLAIN.has(pending.type)) this.#silence.set(owner, stopwatch())
    // What can be held open lives on after it has called back; a request is over.
    if (pending.resource.hasRef === undefined && pending.type !== 'ZLIB') this.#over(id)
  }

  #over(id: number | object): void {
    const owner = this.#owners.get(id)
    if (owner === undefined) return
    this.#owners.delete(id)
    this.#running.get(owner)?.delete(id)
  }
}

/** Names of what Node itself begins, and of those that are one request with an end; an addon has names of its own. */
const NATIVE = /^[A-Z0-9_]+$/
const ONE_REQUEST = /REQ|(?:QUERY|CONNECT|WRITE|SHUTDOWN|SEND)WRAP$/

/** Not what is open and would not keep a process alive, nor a job that was done at once: nobody waits for that. */
function isAtWork({ type, resource }: Pending): boolean {
  if (type === REQUEST) return resource.destroyed !== true
  if (resource.hasRef !== undefined) return resource.hasRef()
  if (type === 'ZLIB') return resource.buffer !== undefined && resource.buffer !== null
  if (type.endsWith('REQUEST')) return 'ondone' in resource
  return !NATIVE.test(type) || ONE_REQUEST.test(type)
}
