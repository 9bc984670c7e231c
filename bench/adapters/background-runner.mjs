/** The library, in the way that suits it. */
import { library } from '../library.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)

const EVENTS = ['submitted', 'started', 'progress', 'retrying', 'succeeded', 'failed', 'cancelled']

export const durability = 'none'

/** A runner with one task; its verbs are the library's own. */
export function createRunner({ handler = async () => {}, listen = false, ...options } = {}) {
  const runner = new BackgroundRunner({ tasks: { task: defineTask({ run: handler }) }, concurrency: 10, ...options })
  if (listen) for (const event of EVENTS) runner.on(event, () => {})
  return {
    runner,
    submit: (input, options) => runner.submit('task', input, options),
    onIdle: () => runner.onIdle(),
  }
}
