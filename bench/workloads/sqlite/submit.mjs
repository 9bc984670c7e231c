/** From `submit` to its acknowledgement, one at a time on an idle runner: the median of 500. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as library from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, openDatabase, withFile } from '../../database.mjs'
import { median } from '../../statistics.mjs'

const SAMPLES = 500
const WARM_UP = 300

export const title = 'submit acknowledged, idle, p50'
export const unit = 'µs'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

/** @param settle what is to end before the next sample, unmeasured */
async function sample(submit, settle = () => {}) {
  const samples = []
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    await settle()
    await sleep(1)
    const start = performance.now()
    await submit({ user: i, template: 'welcome' })
    if (i >= WARM_UP) samples.push((performance.now() - start) * 1_000)
  }
  return { value: median(samples), durability: 'process', on: `${driverInUse()}, NORMAL` }
}

function byLibrary(work) {
  return withFile(async (path) => {
    const { submit, onIdle, close } = await library.createRunner({ path, work })
    const figures = await sample(submit, work ? onIdle : undefined)
    await close()
    return figures
  })
}

function byHand() {
  return withFile(async (path) => {
    await (await library.createRunner({ path })).close()
    const database = await openDatabase(path)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const begin = database.prepare('BEGIN IMMEDIATE')
    const commit = database.prepare('COMMIT')
    const insert = database.prepare(
      'INSERT INTO tasks (id, name, state, priority, run_at, max_attempts, created_at, input) VALUES (?, 1, 0, 0, ?, 3, ?, ?)',
    )
    return sample((input) => {
      const now = Date.now()
      begin.run()
      insert.run(`task-${input.user}-of-many-more`, now, now, JSON.stringify(input))
      commit.run()
    })
  })
}

export const cases = {
  'background-runner that only submits': () => byLibrary(false),
  'background-runner that works': () => byLibrary(true),
  'hand-written insert and commit': byHand,
}

export const targets = ['background-runner that only submits', 'background-runner that works'].map((ours) => ({
  say: `time of a ${ours} over a hand-written insert and commit`,
  ratio: [ours, 'hand-written insert and commit'],
  by: 'value',
  atMost: 3,
}))
