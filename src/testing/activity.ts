/**
 * What a handler waits for on the real machine: a file, a socket, a child, a timer, a hash.
 *
 * Virtual time must not pass a handler by that really does something, and must not wait for one that waits for virtual
 * time. An async hook tells them apart: it sees what is begun in the async context of each handler, and when it is over.
 * It looks on, changes nothing, and is on only while a handler runs.
 */
import { AsyncLocalStorage, AsyncResource, createHook } from 'node:async_hooks'
import { stopwatch } from './real-time.js'

/** Something of Node that works outside of the event loop. Each has some of these, none is public. */
interface Resource {
  hasRef?(): boolean
  /** Set on a job of the thread pool, unless it was done at once. */
  readonly ondone?: unknown
  /** What a zlib stream works on. */
  readonly buffer?: unknown
}

interface Pending {
  readonly type: string
  readonly resource: Resource
}

/** Seen from their beginning to their end: nothing hidden follows from them. */
const PLAIN: ReadonlySet<string> = new Set(['Timeout', 'Immediate'])
/** What a stream leaves to the end of the turn. A write that is done at once leaves no other trace. */
const TICK = 'TickObject'

/** Tells of each `Owner`, the body that runs within its name, what it waits for. */
export class Activity<Owner extends object> {
  readonly #scope: AsyncLocalStorage<Owner> = new AsyncLocalStorage()
  readonly #running: Map<Owner, Map<number, Pending>> = new Map()
  readonly #owners: Map<number, Owner> = new Map()
  readonly #mostSilence: number
  /** Since when an owner that spoke to the world has been silent. */
  readonly #silence: WeakMap<Owner, () => number> = new WeakMap()
  readonly #hook = createHook({
    init: (id, type, _trigger, resource) => this.#begun(id, type, resource),
    after: (id) => this.#called(id),
    destroy: (id) => this.#over(id),
  })

  /**
   * @param mostSilence real ms after which an owner that spoke to the world is believed to wait for nothing: what it waits
   *   for may have been opened by somebody else (a connection of a pool), and is not seen
   */
  constructor(mostSilence: number) {
    this.#mostSilence = mostSilence
  }

  /** Whose body calls; undefined outside of all. */
  get current(): Owner | undefined {
    return this.#scope.getStore()
  }

  /** Runs `body` in the name of `owner`, which is watched until it has settled. */
  async within<Result>(owner: Owner, body: () => Promise<Result>): Promise<Result> {
    this.#running.set(owner, new Map())
    this.#hook.enable()
    try {
      return await this.#scope.run(owner, body)
    } finally {
      for (const id of this.#running.get(owner)?.keys() ?? []) this.#owners.delete(id)
      this.#running.delete(owner)
      if (this.#running.size === 0) this.#hook.disable()
    }
  }

  /** Calls `body` in the name of `owner`, and watches nothing. */
  as<Result>(owner: Owner, body: () => Result): Result {
    return this.#scope.run(owner, body)
  }

  /** What `owner` waits for, by Node's names for it (`TCPWRAP`, `Timeout`); empty: nothing that the machine does. */
  pending(owner: Owner): readonly string[] {
    const pending = this.#running.get(owner)
    if (pending === undefined) return []
    const all = [...pending.values()].filter(isAtWork).map(({ type }) => type)
    const silence = this.#silence.get(owner)?.() ?? Number.POSITIVE_INFINITY
    return all.length === 0 && silence < this.#mostSilence ? ['an answer'] : all
  }

  #begun(id: number, type: string, resource: object): void {
    if (type === 'PROMISE') return
    const owner = this.#scope.getStore()
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

  #over(id: number): void {
    const owner = this.#owners.get(id)
    if (owner === undefined) return
    this.#owners.delete(id)
    this.#running.get(owner)?.delete(id)
  }
}

/** Names of what Node itself begins, and of those that are one request with an end; an addon has names of its own. */
const NATIVE = /^[A-Z0-9_]+$/
const REQUEST = /REQ|(?:QUERY|CONNECT|WRITE|SHUTDOWN|SEND)WRAP$/

/** Not what is open and would not keep a process alive, nor a job that was done at once: nobody waits for that. */
function isAtWork({ type, resource }: Pending): boolean {
  if (resource.hasRef !== undefined) return resource.hasRef()
  if (type === 'ZLIB') return resource.buffer !== undefined && resource.buffer !== null
  if (type.endsWith('REQUEST')) return 'ondone' in resource
  return !NATIVE.test(type) || REQUEST.test(type)
}
