/** What passes: a full disk, a lock. Running tasks finish, nothing acknowledged is lost, and work goes on by itself. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, it } from 'vitest'
import { loadDriver } from '../../src/sqlite/driver.js'
import { bundle } from './support/bundle.js'
import { Companion, can, type Disk, withSmallDisk } from './support/companion.js'
import { create, eventually, opened, PRIVATE } from './support/fault-world.js'
import { place } from './support/place.js'

let program: string
beforeAll(async () => {
  program = await bundle(new URL('support/fault-child.ts', import.meta.url))
})
const at = place()
describe('a disk', { timeout: 30_000 }, () => {
  const disks = {
    // A file system of its own, where this machine lets one be made.
    tmpfs: {
      possible: can([...withSmallDisk(tmpdir()), 'true']),
      told: /tasks\.db: the disk is full; free some space/,
    },
    // A file that may grow no further: what a quota does.
    limited: {
      possible: can(['prlimit', '--version']),
      told: /tasks\.db: it cannot be read or written; look at the disk and its quota/,
    },
  } as const

  for (const [disk, { possible, told }] of Object.entries(disks) as [Disk, typeof disks.tmpfs][]) {
    it.skipIf(!possible)(
      `that is full (${disk}): submits are refused, verdicts wait, and work goes on by itself`,
      async () => {
        const child = await Companion.start(at, program, disk)
        await child.ask('open')
        const before = (await child.ask('submit', PRIVATE)) as string
        assert.equal(await child.ask('wait', before), 'succeeded')
        const long = (await child.ask('long')) as string
        await eventually('it runs', async () => (await child.ask('state', long)) === 'running')

        await child.ask('fill')
        for (let n = 0; n < 3; n++) {
          await assert.rejects(child.ask('submit', PRIVATE), (error: Error & { code: string }) => {
            assert.equal(error.code, 'ENGINE_ERROR')
            assert.match(error.message, told)
            assert.doesNotMatch(error.message, new RegExp(PRIVATE))
            return true
          })
        }
        await child.ask('end')
        await new Promise((resolve) => setTimeout(resolve, 600))
        assert.equal(await child.ask('state', long), 'running', 'its verdict could not be written')

        await child.ask('free')
        assert.equal(await child.ask('wait', long), 'succeeded')
        const after = (await child.ask('submit', PRIVATE)) as string
        assert.equal(await child.ask('wait', after), 'succeeded')
        await child.ask('close')
        await child.ask('open')
        assert.deepEqual(await child.ask('counts'), {
          queued: 0,
          scheduled: 0,
          running: 0,
          succeeded: 3,
          failed: 0,
          cancelled: 0,
        })
        await child.ask('close')
      },
    )

    it.skipIf(!possible)(
      `that stays full (${disk}) keeps nobody from closing, and what ran is there at the next start`,
      async () => {
        const child = await Companion.start(at, program, disk)
        await child.ask('open')
        const long = (await child.ask('long')) as string
        await eventually('it runs', async () => (await child.ask('state', long)) === 'running')
        await child.ask('submitForLater')
        await child.ask('fill')
        await child.ask('end')
        assert.deepEqual(await child.ask('close'), { completed: 0, returned: 0, abandoned: 1, pending: 1 })
        await child.ask('free')
        await child.ask('open')
        await eventually(
          'it runs again',
          async () => {
            await child.ask('end')
            return (await child.ask('state', long)) === 'succeeded'
          },
          20_000,
        )
        await child.ask('close')
      },
    )
  }
})

describe('a lock', { timeout: 30_000 }, () => {
  it('that another process holds at start is waited for', async () => {
    const first = await Companion.start(at, program)
    await first.ask('open')
    await first.ask('close')
    await first.stop()
    const child = await Companion.start(at, program)
    await child.ask('lockAll')
    const { runner } = create(at)
    let ready = false
    const opening = runner.ready().then(() => {
      ready = true
    })
    const submitting = runner.submit('work', '')
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(ready, false)
    await child.ask('unlock')
    await opening
    await (await submitting).wait()
  })

  it('that another process holds while we work holds neither our event loop nor our handlers, and nothing is lost', async () => {
    const { runner, faults, end } = await opened(at)
    const child = await Companion.start(at, program)
    const long = await runner.submit('long')
    await eventually('it runs', async () => (await long.status())?.state === 'running')
    await child.ask('lock')
    const submitting = Array.from({ length: 20 }, () => runner.submit('work', ''))
    end()
    for (let turn = 0; turn < 500; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal((await long.status())?.state, 'running', 'who reads is not kept waiting')
    await child.ask('unlock')
    for (const handle of await Promise.all(submitting)) await handle.wait()
    assert.equal((await long.wait()).state, 'succeeded')
    assert.deepEqual(faults, [])
  })
})

it('a backup that is made while work goes on can be opened and holds what was acknowledged before it', async () => {
  const { runner } = await opened(at)
  const ids = (
    await runner.submitMany(
      'work',
      Array.from({ length: 50 }, () => ''),
    )
  ).map(({ id }) => id)
  const backup = join(at.folder, 'backup.db')
  if (can(['sqlite3', '--version'])) execFileSync('sqlite3', [at.path, `.backup ${backup}`])
  else (await loadDriver())(at.path).exec(`VACUUM INTO '${backup}'`)
  at.path = backup
  const restored = await opened(at)
  for (const id of ids) assert.notEqual(await restored.runner.status(id), undefined)
})
