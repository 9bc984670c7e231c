/** The library with its handlers in workers, or inline. */
import { library } from '../library.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const module = new URL('../handlers.mjs', import.meta.url)

export const durability = 'none'

/** @param handler one of ../handlers.mjs */
export function createRunner({ isolation, handler, workers }) {
  const task = defineTask({ isolation, module, export: handler, concurrency: workers })
  const runner = new BackgroundRunner({ tasks: { task } })
  return {
    /** Resolves with the output. */
    run: async (input) => (await runner.submit('task', input)).result(),
    /** Resolves when all are done. */
    runMany: async (inputs) => {
      for (const input of inputs) await runner.submit('task', input)
      await runner.onIdle()
      const { failed } = await runner.counts()
      if (failed > 0) throw new Error(`${failed} failed`)
    },
    close: () => runner.close(),
  }
}
