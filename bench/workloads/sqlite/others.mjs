/**
 * As whole-life, of few tasks, against those that would take minutes for many. Their drivers are compiled for Node 20, and
 * they cannot be given others: elsewhere they have no case.
 */
import { existsSync } from 'node:fs'
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 300
/** Node's own SQLite is there: what is compiled was compiled for the Node that has none. */
const BUILT_IN = process.getBuiltinModule?.('node:sqlite') !== undefined
/** An optional dependency: where it could not be built it is not there. */
const isThere = (name) => !BUILT_IN && existsSync(new URL(`../../node_modules/${name}`, import.meta.url))

export const title = `${TASKS} no-op tasks in one file, concurrency 10`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

const life = (adapter) => () => wholeLife(adapter, { tasks: TASKS, concurrency: 10 })

export const cases = {
  'background-runner': life('background-runner-sqlite'),
  ...(isThere('better-sqlite3-11') && { liteque: life('liteque') }),
  ...(isThere('better-sqlite3') && { sidequest: life('sidequest') }),
}

export const targets = Object.keys(cases)
  .filter((name) => name !== 'background-runner')
  .map((name) => ({ say: `speed over ${name}`, ratio: [name, 'background-runner'], by: 'wall' }))
