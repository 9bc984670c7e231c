/** Rejections that nobody handles, while something is done: heard here, and not by the test framework. */

type Listener = (error: unknown) => void

const listeners: Set<Listener> = new Set()
let others: NodeJS.UnhandledRejectionListener[] = []

const tell = (error: unknown): void => {
  for (const listener of listeners) listener(error)
}

/** What was rejected during `work` without being handled. Under Jest, which hides it, that is never anything. */
export async function unhandledDuring(work: () => Promise<unknown>): Promise<unknown[]> {
  const unhandled: unknown[] = []
  const listener: Listener = (error) => void unhandled.push(error)
  if (listeners.size === 0) {
    others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', tell)
  }
  listeners.add(listener)
  try {
    await work()
  } finally {
    listeners.delete(listener)
    if (listeners.size === 0) {
      process.off('unhandledRejection', tell)
      for (const other of others) process.on('unhandledRejection', other)
    }
  }
  return unhandled
}
