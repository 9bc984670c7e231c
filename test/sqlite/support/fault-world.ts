/** A runner over a file that something is going to befall. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, type TaskDefinition } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import type { Place } from './place.js'

/** What is submitted: no error may show it. */
export const PRIVATE = 'hunter2'

export interface FaultWorld {
  readonly runner: BackgroundRunner<{ work: TaskDefinition<string, void>; long: TaskDefinition<undefined, string> }>
  /** What was told as an error. */
  readonly faults: readonly unknown[]
  /** Ends the handler that runs. */
  end(): void
}

/** @param path of another file than that of the test */
export function create(at: Place, path: string = at.path): FaultWorld {
  const faults: unknown[] = []
  let end = (): void => {}
  const runner = new BackgroundRunner({
    tasks: {
      work: defineTask({ run: (_input: string) => {} }),
      long: defineTask({
        run: () =>
          new Promise<string>((resolve) => {
            end = () => resolve('done')
          }),
      }),
    },
    engine: sqlite({ path }),
  })
  runner.on('error', (error) => faults.push(error))
  at.after(() => runner.close({ deadline: 0 }))
  return { runner, faults, end: () => end() }
}

export async function opened(at: Place): Promise<FaultWorld> {
  const world = create(at)
  await world.runner.ready()
  return world
}

/** Looks again and again; fails when `is` does not come to hold within a few seconds. */
export async function eventually(what: string, is: () => boolean | Promise<boolean>, within = 4_000): Promise<void> {
  for (let waited = 0; waited < within; waited += 10) {
    if (await is()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(what)
}
