/** The pool below, as it is without a runner: its own defaults, but for the number of workers. */
import { fileURLToPath } from 'node:url'
import Tinypool from 'tinypool'

const RUNTIMES = { thread: 'worker_threads', process: 'child_process' }
const filename = fileURLToPath(new URL('../handlers.mjs', import.meta.url))

export const durability = 'none'

export function createRunner({ isolation, handler, workers }) {
  const pool = new Tinypool({
    filename,
    name: handler,
    runtime: RUNTIMES[isolation],
    minThreads: workers,
    maxThreads: workers,
  })
  return {
    run: (input) => pool.run(input),
    runMany: (inputs) => Promise.all(inputs.map((input) => pool.run(input))),
    close: () => pool.destroy(),
  }
}
