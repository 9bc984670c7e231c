/**
 * A durable store that needs no disk: a memory store that outlives its close. What was abandoned is back in the queue, as
 * it is where a process that closed is known not to have died.
 */
import type { Capabilities, Store } from 'background-runner'

/** `store` as one process sees it, until it closes it. */
export function durable(store: Store, capabilities: Partial<Capabilities> = {}, overrides: Partial<Store> = {}): Store {
  const own: Partial<Store> = {
    capabilities: { ...store.capabilities, durable: true, ...capabilities },
    close: (abandoned) => {
      for (const task of abandoned) void store.settle(task, { type: 'released' }, task.startedAt)
    },
    ...overrides,
  }
  return new Proxy(store, {
    get: (_store, property) => {
      const value = property in own ? own[property as keyof Store] : store[property as keyof Store]
      return typeof value === 'function' ? value.bind(store) : value
    },
  })
}

/** One thing for each storage. */
export function perStorage<Thing>(make: () => Thing): (storage: string) => Thing {
  const things = new Map<string, Thing>()
  return (storage) => {
    const thing = things.get(storage) ?? make()
    things.set(storage, thing)
    return thing
  }
}
