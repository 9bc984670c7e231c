/**
 * Stands in for CROWD other processes on the file PLACE: so many rows of workers that live, each with a beat every third of a
 * lease. What they do to a real worker is the same, and no machine is needed that could hold them all.
 */
import { openDatabase } from '../database.mjs'
import { median } from '../statistics.mjs'
import { LEASE } from './engines.mjs'

const { PLACE, CROWD } = process.env
const size = Number(CROWD)

const database = await openDatabase(PLACE)
database.exec('PRAGMA busy_timeout = 5000; PRAGMA synchronous = NORMAL')
// All have the identity of a worker that is there: who looks at their pids finds it alive.
const columns = 'boot, pid, pid_started, lease, names, seen'
const ids = Array.from({ length: size }, () => {
  const { lastInsertRowid } = database
    .prepare(`INSERT INTO workers (${columns}) SELECT ${columns} FROM workers ORDER BY id LIMIT 1`)
    .run()
  return Number(lastInsertRowid)
})
const beat = database.prepare(
  'UPDATE workers SET beat = beat + 1, seen = (SELECT coalesce(max(n), 0) FROM feed) WHERE id = ?',
)

const every = LEASE / 3 / size
const start = performance.now()
let beats = 0
const spent = []
setInterval(
  () => {
    const due = Math.floor((performance.now() - start) / every)
    for (; beats < due; beats++) {
      const before = performance.now()
      beat.run(ids[beats % size])
      spent.push(performance.now() - before)
    }
  },
  Math.max(1, every / 2),
)

// µs that a beat takes as a rule, with the wait for the file.
process.on('message', (question) => {
  if (question === 'beat') process.send(median(spent) * 1_000)
})
console.log('listening on crowd')
