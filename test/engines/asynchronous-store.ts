/**
 * A store that answers later, as a database does: each request is done on a later turn of the event loop and answered on
 * another, in the order in which they were asked.
 */
import type { Store } from 'background-runner'

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
  'holds',
  'explain',
  'putSchedule',
  'removeSchedule',
  'schedules',
  'fireSchedule',
  'called',
  'prune',
  'outlook',
  'close',
] as const

/** Does what `store` does, one request after the other, each later; refuses what comes before `open` or after `close`. */
export function asynchronous(store: Store): Store {
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
