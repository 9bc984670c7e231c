/**
 * The local engine over a store that answers later, as a database does: the memory store behind a line of requests, each
 * of which is done on a later turn of the event loop and answered on another. It finds what the memory engine, which
 * answers at once, can never show: what happens between a question and its answer.
 */
import { localEngine, type Store } from 'background-runner'
import { engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'

const METHODS = [
  'open',
  'insert',
  'claim',
  'settle',
  'progress',
  'save',
  'find',
  'list',
  'counts',
  'cancel',
  'retry',
  'setPriority',
  'remove',
  'pause',
  'prune',
  'outlook',
  'close',
] as const

/** Does what `store` does, one request after the other, each later; refuses what comes before `open` or after `close`. */
function asynchronous(store: Store): Store {
  let line: Promise<unknown> = Promise.resolve()
  let open = false
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const later: Record<string, unknown> = { name: 'asynchronous', capabilities: store.capabilities }
  for (const method of METHODS) {
    later[method] = (...args: unknown[]): Promise<unknown> => {
      if (method === 'close') open = false
      else if (!open && method !== 'open') return Promise.reject(new Error(`${method}: the store is not open`))
      const done = line.then(turn).then(async () => {
        if (method === 'open') {
          for (let i = 0; i < 5; i++) await turn()
          open = true
        }
        return (store[method] as (...all: unknown[]) => unknown).apply(store, args)
      })
      line = done.catch(() => undefined)
      return done.finally(turn)
    }
  }
  return later as unknown as Store
}

engineConformance(
  { describe, it },
  { name: 'local over an asynchronous store', create: () => localEngine(asynchronous(new MemoryStore() as never)) },
)
