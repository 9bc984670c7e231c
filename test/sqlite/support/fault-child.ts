/**
 * A process of its own for what a test cannot do to itself: a disk that fills up, a lock that another process holds. It
 * does what it is told by message, and answers each with what came of it. `node --import tsx fault-child.ts <path> [disk]`
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { type Database, loadDriver } from '../../../src/sqlite/driver.js'

const [path = '', disk] = process.argv.slice(2)
const faults: string[] = []
let end = (): void => {}
let lock: Database | undefined
/** A task that waits. */
let waiting: string | undefined

const open = () => {
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
    engine: sqlite({ path, lease: 500 }),
  })
  runner.on('error', (error) => faults.push(String(error)))
  return runner
}
let runner: ReturnType<typeof open>

/** Files of this process may grow no further than to this many bytes. */
function limitFiles(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`])
}

const filler = join(dirname(path), 'filler')

const does: Record<string, (argument: string) => unknown> = {
  open: async () => {
    runner = open()
    await runner.ready()
  },
  submit: async (input) => (await runner.submit('work', input)).id,
  long: async () => (await runner.submit('long')).id,
  end: () => end(),
  state: async (id) => (await runner.status(id))?.state,
  wait: async (id) => (await runner.wait(id)).state,
  counts: () => runner.counts(),
  faults: () => faults.splice(0),
  close: () => runner.close({ deadline: 300 }),
  submitForLater: async () => {
    waiting = (await runner.submit('work', '', { delay: '1h' })).id
  },
  fill: async () => {
    if (disk === 'limited') {
      // A file that grows is refused where the longest one stands; the others are not touched.
      limitFiles(Math.max(...[path, `${path}-wal`].map((each) => statSync(each).size)))
      // A small commit may still fit: what is left is filled by these, which write less than a verdict does.
      for (let n = 1; waiting !== undefined; n++) {
        try {
          await runner.setPriority(waiting, n)
        } catch {
          break
        }
      }
      return
    }
    const file = openSync(filler, 'w')
    for (const block of [65_536, 4_096, 1]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(block))
      } catch {
        // full, as far as blocks of this size go
      }
    }
    closeSync(file)
  },
  free: () => (disk === 'limited' ? limitFiles('unlimited') : rmSync(filler)),
  lock: async () => {
    lock = (await loadDriver())(path)
    lock.exec('BEGIN IMMEDIATE')
  },
  lockAll: async () => {
    lock = (await loadDriver())(path)
    lock.exec(
      'PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS t(a); COMMIT; BEGIN EXCLUSIVE',
    )
  },
  unlock: () => {
    lock?.exec('ROLLBACK')
    lock?.close()
  },
}

process.on('message', async ([what, argument]: [string, string]) => {
  try {
    process.send?.({ value: await does[what]?.(argument) })
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    process.send?.({ error: { code, message } })
  }
})
process.send?.({ value: 'up' })
