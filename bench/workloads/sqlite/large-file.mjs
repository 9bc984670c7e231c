/**
 * What a task costs in a file that holds many others: half of them ended, half waiting under the same name with a lower
 * priority.
 */
import * as library from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, openDatabase, withFile } from '../../database.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 20_000
const STATES = { queued: 0, succeeded: 3 }

export const title = `${TASKS} no-op tasks in a file that holds others`
export const unit = 'µs/task'

/** By SQL, since it is the file that is of interest: by the library it would take a minute. */
async function fill(path, rows) {
  const maker = await library.createRunner({ path, work: false })
  await maker.submit({ standing: true }, { priority: -1 })
  await maker.close()
  const database = await openDatabase(path)
  const [now, half] = [Date.now(), rows / 2]
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    BEGIN;
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${rows})
    INSERT INTO tasks (id, name, state, priority, run_at, attempt, max_attempts, created_at, started_at, finished_at, input)
    SELECT substr(hex(randomblob(16)), 1, 22), 1, iif(n % 2 = 0, ${STATES.succeeded}, ${STATES.queued}), -1, ${now},
      iif(n % 2 = 0, 1, 0), 3, ${now}, iif(n % 2 = 0, ${now}, 0), iif(n % 2 = 0, ${now}, 0), '{"standing":true}'
    FROM numbers;
    INSERT INTO counts (name, state, n) VALUES (1, ${STATES.succeeded}, ${half}), (1, ${STATES.queued}, ${half})
      ON CONFLICT DO UPDATE SET n = n + excluded.n;
    COMMIT;
    PRAGMA wal_checkpoint(TRUNCATE);
  `)
  database.close()
}

function inFileOf(rows) {
  return withFile(async (path) => {
    await fill(path, rows)
    let ran = 0
    let finish
    const finished = new Promise((resolve) => {
      finish = resolve
    })
    const handler = async ({ standing }) => {
      if (!standing && ++ran === TASKS) finish()
    }
    const { runner, submit } = await library.createRunner({ path, handler })
    await runner.pause()
    const held = Object.values(await runner.counts()).reduce((sum, n) => sum + n)
    if (held !== rows + 1) throw new Error(`${held} tasks in a file of ${rows}`)
    const read = stopwatch()
    const submitted = []
    for (let i = 0; i < TASKS; i++) submitted.push(submit({ user: i, template: 'welcome' }))
    await Promise.all(submitted)
    await runner.resume()
    await finished
    const spent = read(TASKS)
    await runner.pause()
    await runner.close()
    return { ...spent, on: `${driverInUse()}, NORMAL` }
  })
}

export const cases = {
  'of 1 000': () => inFileOf(1_000),
  'of 1 000 000': () => inFileOf(1_000_000),
}

export const targets = [
  { say: 'cost per task in a file of 1 000 000', ratio: ['of 1 000 000', 'of 1 000'], by: 'wall', atMost: 1.5 },
]
