/**
 * As whole-life, of few tasks, against those that would take minutes for many. liteque needs a driver that is only built on
 * Node 20: elsewhere it has no case.
 */
import { existsSync } from 'node:fs'
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 300
/** An optional dependency: where it could not be built it is not there. */
const DRIVER =
  process.getBuiltinModule?.('node:sqlite') === undefined &&
  existsSync(new URL('../../node_modules/better-sqlite3-11', import.meta.url))

export const title = `${TASKS} no-op tasks in one file`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

const life = (adapter) => () => wholeLife(adapter, { tasks: TASKS, concurrency: 10 })

export const cases = {
  'background-runner': life('background-runner-sqlite'),
  ...(DRIVER && { liteque: life('liteque') }),
  sidequest: life('sidequest'),
}

export const targets = Object.keys(cases)
  .filter((name) => name !== 'background-runner')
  .map((name) => ({ say: `speed over ${name}`, ratio: [name, 'background-runner'], by: 'wall' }))
