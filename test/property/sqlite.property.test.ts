/** The same histories over sqlite, and in between its process dies: what was acknowledged is there, and nothing else. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { sqlite } from 'background-runner/sqlite'
import fc from 'fast-check'
import { afterAll, describe, it, vi } from 'vitest'
import type { Database, Open } from '../../src/sqlite/driver.js'
import { turns } from '../../src/testing/real-time.js'
import { folderForMany } from '../support/folder.js'
import { histories, parameters, patiently, TIMEOUT } from './history.js'
import { type Home, live } from './world.js'

const RUNS = Number(process.env['RUNS'] ?? (process.env['CI'] === 'true' ? 1_000 : 100)) / 4
const PARTS = [1, 2, 3, 4]

/** The connections of the process that lives; one that has died finds its own dead. */
const process_ = vi.hoisted(() => ({ number: 0, commits: 0 }))

vi.mock('../../src/sqlite/driver.js', async (original) => {
  const actual = await original<typeof import('../../src/sqlite/driver.js')>()
  const mortal = (database: Database): Database => {
    const { number } = process_
    const alive = <Answer>(work: () => Answer): Answer => {
      if (number !== process_.number) throw new Error('the process has died')
      return work()
    }
    return {
      driver: database.driver,
      exec: (sql) => alive(() => database.exec(sql)),
      prepare: (sql) => {
        const statement = alive(() => database.prepare(sql))
        const commits = sql === 'COMMIT' ? 1 : 0
        return {
          run: (...values) => {
            process_.commits += commits
            return alive(() => statement.run(...values))
          },
          get: (...values) => alive(() => statement.get(...values)),
          all: (...values) => alive(() => statement.all(...values)),
        }
      },
      close: () => database.close(),
    }
  }
  return {
    ...actual,
    loadDriver: async (): Promise<Open> => {
      const open = await actual.loadDriver()
      return (path) => mortal(open(path))
    },
  }
})
const { loadDriver } = await vi.importActual<typeof import('../../src/sqlite/driver.js')>('../../src/sqlite/driver.js')
const openDatabase = await loadDriver()

const folder = folderForMany()
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

function newHome(): Home {
  const path = join(folder, `${files++}.db`)
  return {
    engine: () => sqlite({ path }),
    // As long as anything is written, something may follow from it.
    settle: async () => {
      for (let before = -1; before !== process_.commits; ) {
        before = process_.commits
        await turns()
      }
    },
    crash: () => {
      process_.number++
      const database = openDatabase(path)
      // This process lives, so that of the worker has to be another one for all to see.
      database.exec("UPDATE workers SET pid_started = 'another time'")
      database.close()
    },
  }
}

describe('random histories with deaths agree with the reference model', () => {
  for (const part of PARTS) {
    it(`in every state, attempt, slot and event (part ${part} of ${PARTS.length})`, { timeout: TIMEOUT }, async () => {
      await fc.assert(
        fc.asyncProperty(
          histories(true),
          patiently((history) => live(history, newHome())),
        ),
        parameters(part, RUNS),
      )
    })
  }
})
