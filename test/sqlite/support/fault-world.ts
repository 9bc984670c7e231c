/** A runner over a file that something is going to befall. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import type { Place } from './place.js'

/** What is submitted: no error and no log line may show it. */
export const PRIVATE = 'hunter2'

interface World {
  readonly runner: ReturnType<typeof create>['runner']
  readonly faults: unknown[]
  /** Ends the handler that runs. */
  end(): void
}

function create(at: string = at.path) {
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
    engine: sqlite({ path: at }),
  })
  runner.on('error', (error) => faults.push(error))
  at.after(() => runner.close({ deadline: 0 }))
  return { runner, faults, end: () => end() }
}

async function opened(): Promise<World> {
  const world = create()
  await world.runner.ready()
  return world
}

/** What `ready` and `submit` say of a file that cannot be opened. */
async function eventually(what: string, is: () => boolean | Promise<boolean>, within = 4_000): Promise<void> {
  for (let waited = 0; waited < within; waited += 10) {
    if (await is()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(what)
}

