/**
 * What one writes by hand on the library's own table, written well: `concurrency` tasks a transaction, which also ends those
 * before, and a statement for all of them. No retry, no error, no cancel, no other process, no counts, one name, one thing at a time.
 */
import { randomBytes } from 'node:crypto'
import { openDatabase, SYNCHRONOUS } from '../database.mjs'
import * as library from './background-runner-sqlite.mjs'

export const durability = ['process', 'power']

/** @param inserts how many are inserted in one transaction */
export async function createRunner({ path, durability, concurrency, handler, inserts = concurrency }) {
  // The library makes the file: the tables and indexes are the same.
  await (await library.createRunner({ path })).close()
  const database = await openDatabase(path)
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${SYNCHRONOUS[durability]}`)
  database.exec("INSERT INTO names (id, name) VALUES (1, 'task')")
  const insert = database.prepare(
    `INSERT INTO tasks (id, name, state, priority, run_at, max_attempts, created_at, input)
     SELECT value ->> 0, 1, 0, 0, ?, 3, ?, value ->> 1 FROM json_each(?)`,
  )
  const best = database.prepare(
    `SELECT json_group_array(json_array(seq, input)) AS found FROM (
       SELECT seq, input FROM tasks INDEXED BY tasks_ready WHERE state = 0 AND suspect = 0 AND lane IS NULL
       AND blocked = 0 AND name = 1 ORDER BY priority DESC, run_at, seq LIMIT ${concurrency})`,
  )
  const start = database.prepare(
    'UPDATE tasks SET state = 2, attempt = 1, started_at = ?, worker = 1 WHERE seq IN (SELECT value FROM json_each(?))',
  )
  const end = database.prepare(
    `UPDATE tasks SET state = 3, finished_at = ?, worker = NULL
     WHERE seq IN (SELECT value FROM json_each(?)) AND state = 2`,
  )
  const begin = database.prepare('BEGIN IMMEDIATE')
  const commit = database.prepare('COMMIT')

  const transaction = (work) => {
    begin.run()
    const answer = work()
    commit.run()
    return answer
  }
  let waiting = []
  const store = () => {
    const now = Date.now()
    transaction(() => {
      insert.run(now, now, JSON.stringify(waiting.map(([id, input]) => [id, JSON.stringify(input)])))
    })
    waiting = []
  }
  const take = (ended) => {
    const now = Date.now()
    if (ended.length > 0) end.run(now, JSON.stringify(ended.map(([seq]) => seq)))
    const tasks = JSON.parse(best.get().found)
    if (tasks.length > 0) start.run(now, JSON.stringify(tasks.map(([seq]) => seq)))
    return tasks
  }
  return {
    submit: (input) => {
      waiting.push([randomBytes(16).toString('base64url'), input])
      if (waiting.length === inserts) store()
    },
    onIdle: async () => {
      if (waiting.length > 0) store()
      for (let tasks = []; ; ) {
        tasks = transaction(() => take(tasks))
        if (tasks.length === 0) return
        await Promise.all(tasks.map(([, input]) => handler(JSON.parse(input))))
      }
    },
    succeeded: async () => database.prepare('SELECT count(*) AS n FROM tasks WHERE state = 3').get().n,
    close: async () => database.close(),
  }
}
