/**
 * A durable, shared engine that needs no disk and no second process: several local engines over one memory store each.
 * Closing one of them leaves the store; what one of them did, the others are told on a later turn. It proves the tests of
 * these promises, and is no more than they ask for: nobody dies here, and a claim is atomic by itself.
 */
import { type Capabilities, type Engine, type EngineAttempt, localEngine, type Store } from 'background-runner'
import { MemoryStore } from '../../src/local/memory-store.js'
import { durable, perStorage } from './durable-store.js'

type Task = NonNullable<Awaited<ReturnType<Store['find']>>>

/** What the engines over one storage have in common. */
class Common {
  readonly store: Store = new MemoryStore() as never
  readonly members: Set<Member> = new Set()
  /** What some process has claimed. */
  readonly #claimed: Set<Task> = new Set()

  /** Tells all members but `from`, a little later. */
  tell(from: Member, heard: (member: Member) => void): void {
    setImmediate(() => {
      for (const member of this.members) if (member !== from) heard(member)
    })
  }

  claimed(task: Task): void {
    this.#claimed.add(task)
  }

  runningOf(name: string): number {
    for (const task of this.#claimed) if (task.state !== 'running') this.#claimed.delete(task)
    return [...this.#claimed].filter((task) => task.name === name).length
  }
}

/** One process. */
class Member {
  readonly engine: Engine
  readonly #common: Common
  readonly #attempts: Map<string, EngineAttempt> = new Map()
  readonly #watchers: Set<(ids: readonly string[]) => void> = new Set()
  #names: ReadonlyMap<string, number> = new Map()
  #concurrency = 1
  #rescheduled: () => void = () => {}

  constructor(common: Common, capabilities: Capabilities) {
    this.#common = common
    const engine = localEngine(this.#view(capabilities))
    const { start, setConcurrency, watch, close } = engine
    this.engine = engine
    engine.start = (host) => {
      this.#names = host.settings.names
      this.#concurrency = host.settings.concurrency
      this.#rescheduled = () => host.rescheduled?.()
      common.members.add(this)
      return start.call(engine, {
        ...host,
        attempt: (task, writer) => {
          const attempt = host.attempt(task, writer)
          this.#attempts.set(task.id, attempt)
          return attempt
        },
      })
    }
    engine.setConcurrency = (concurrency) => {
      this.#concurrency = concurrency
      setConcurrency.call(engine, concurrency)
    }
    engine.watch = (listener) => {
      const unwatch = watch.call(engine, listener)
      this.#watchers.add(listener)
      return () => {
        unwatch()
        this.#watchers.delete(listener)
      }
    }
    engine.close = () => {
      common.members.delete(this)
      return close.call(engine)
    }
  }

  /** The common store as this process sees it. */
  #view(capabilities: Capabilities): Store {
    const common = this.#common
    const { store } = common
    const changed = (ids: readonly string[]): void => common.tell(this, (member) => member.#hear(ids))
    const overrides: Partial<Store> = {
      insert: (tasks, now) => {
        const inserted = store.insert(tasks, now) as Awaited<ReturnType<Store['insert']>>
        changed(inserted.map(({ id }) => id))
        return inserted
      },
      claim: (admission, now) => {
        const open =
          capabilities.limits === 'process'
            ? admission.open
            : admission.open.filter((name) => common.runningOf(name) < (this.#names.get(name) ?? 0))
        const task = store.claim({ open, take: (name: string) => admission.take(name) } as never, now) as
          | Task
          | undefined
        if (task === undefined) return undefined
        common.claimed(task)
        changed([task.id])
        return task
      },
      settle: (task, outcome, now) => {
        const event = store.settle(task, outcome, now)
        changed([task.id])
        return event
      },
      cancel: (id, request, now) => {
        const cancelled = store.cancel(id, request, now)
        const { reason, force = false } = request
        common.tell(this, (member) => member.#attempts.get(id)?.stop({ type: 'cancel', reason, force }))
        changed([id])
        return cancelled
      },
      putSchedule: (schedule) => {
        void store.putSchedule?.(schedule)
        common.tell(this, (member) => member.#rescheduled())
      },
      removeSchedule: (id) => {
        common.tell(this, (member) => member.#rescheduled())
        return store.removeSchedule?.(id) ?? false
      },
      fireSchedule: (schedule, following, task, now) => {
        const fired = store.fireSchedule?.(schedule, following, task, now)
        common.tell(this, (member) => member.#rescheduled())
        if (task !== undefined) changed([task.id])
        return fired
      },
      pause: (paused) => {
        void store.pause(paused)
        changed([])
      },
    }
    const tellingOf = (method: 'progress' | 'save' | 'retry' | 'setPriority' | 'remove'): void => {
      const original = store[method] as (...args: unknown[]) => unknown
      overrides[method] = (...args: unknown[]): never => {
        const result = original.apply(store, args)
        const [first] = args
        changed([typeof first === 'string' ? first : (first as Task).id])
        return result as never
      }
    }
    for (const method of ['progress', 'save', 'retry', 'setPriority', 'remove'] as const) tellingOf(method)
    return durable(store, capabilities, overrides)
  }

  /** Another process has changed something: there may be work. */
  #hear(ids: readonly string[]): void {
    this.engine.setConcurrency(this.#concurrency)
    if (this.engine.capabilities.feed === 'all') for (const listener of [...this.#watchers]) listener(ids)
  }
}

/** Makes engines; those over the same storage share it. */
export function sharedMemory(limits: Capabilities['limits']): (storage: string) => Engine {
  const common = perStorage(() => new Common())
  return (storage) =>
    new Member(common(storage), { durable: true, shared: true, feed: 'all', limits, quotas: false, schedules: true })
      .engine
}
