/**
 * Pools of workers that outlive their runner. Starting a worker takes longer than all else that a case does, so the next
 * case gets the pool that the last one has left idle, as a second task would get it. Cases about closing do without.
 */
import type { Execution, Executor } from '../../../src/executor.js'
import type { Isolation, TaskContext } from '../../../src/task.js'

type Open = (isolation: Isolation) => Promise<Executor>

/** Pools that wait, by what they are for; how many workers each has had at once. */
const left: Map<string, Map<Executor, number>> = new Map()
let isOn = false

/** Whether pools are kept from here on. */
export function recycling(on: boolean): void {
  isOn = on
}

/** The largest pool that somebody has left, or a new one. */
export async function reopened(isolation: Isolation, open: Open): Promise<Executor> {
  if (!isOn) return open(isolation)
  const key = JSON.stringify(isolation)
  const pools = left.get(key) ?? new Map()
  left.set(key, pools)
  const [largest] = [...pools].sort(([, one], [, other]) => other - one)
  if (largest === undefined) return new Lent(await open(isolation), 0, pools)
  const [pool, size] = largest
  pools.delete(pool)
  return new Lent(pool, size, pools)
}

export async function closeLeft(): Promise<void> {
  const pools = [...left.values()].flatMap((each) => [...each.keys()])
  left.clear()
  await Promise.all(pools.map((pool) => pool.close?.()))
}

class Lent implements Executor {
  readonly #pool: Executor
  readonly #left: Map<Executor, number>
  #size: number
  #running = 0

  constructor(pool: Executor, size: number, left: Map<Executor, number>) {
    this.#pool = pool
    this.#size = size
    this.#left = left
  }

  execute(execution: Execution, input: unknown, ctx: TaskContext): unknown {
    this.#size = Math.max(this.#size, ++this.#running)
    return (this.#pool.execute(execution, input, ctx) as Promise<unknown>).finally(() => this.#running--)
  }

  async close(): Promise<void> {
    if (this.#running === 0) this.#left.set(this.#pool, this.#size)
    else await this.#pool.close?.()
  }
}
