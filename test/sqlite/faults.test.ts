/** What may befall the file: each fault is told, running tasks finish, nothing acknowledged is lost, and work goes on where it can. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, EngineError } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterEach, beforeAll, beforeEach, describe, it } from 'vitest'
import { type Database, loadDriver, type Open } from '../../src/sqlite/driver.js'
import { bundle } from './support/bundle.js'

const PRIVATE = 'hunter2'
let folder: string
let path: string
let openDatabase: Open
const closers: (() => unknown)[] = []

beforeAll(async () => {
  openDatabase = await loadDriver()
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
  path = join(folder, 'tasks.db')
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  rmSync(folder, { recursive: true, force: true })
})

interface World {
  readonly runner: ReturnType<typeof create>['runner']
  readonly faults: unknown[]
  /** Ends the handler that runs. */
  end(): void
}

function create(at: string = path) {
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
  closers.push(() => runner.close({ deadline: 0 }))
  return { runner, faults, end: () => end() }
}

async function opened(): Promise<World> {
  const world = create()
  await world.runner.ready()
  return world
}

/** What `ready` and `submit` say of a file that cannot be opened. */
async function refusal(at: string = path): Promise<string> {
  const { runner, faults } = create(at)
  const told: string[] = []
  for (const ask of [() => runner.ready(), () => runner.submit('work', PRIVATE), () => runner.counts()]) {
    await assert.rejects(ask(), (error) => {
      assert.ok(error instanceof EngineError, String(error))
      told.push(error.message)
      return true
    })
  }
  assert.equal(new Set(told).size, 1, 'all say the same')
  assert.equal(faults.length, 1, 'and it is told as an error too')
  assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
  assert.match(String(told[0]), new RegExp(at), 'the path is named')
  return told[0] as string
}

/** All files of a folder, byte for byte. */
function contents(of: string = folder): Map<string, string> {
  return new Map(readdirSync(of).map((name) => [name, readFileSync(join(of, name)).toString('base64')]))
}

/** @param script of SQL. @param keep the file as a process leaves it that is killed while it has it open */
function foreignFile(script: string, keep = false): void {
  const database = openDatabase(keep ? `${path}.other` : path)
  database.exec(script)
  if (!keep) return database.close()
  for (const part of ['', '-wal']) copyFileSync(`${path}.other${part}`, `${path}${part}`)
  database.close()
  for (const name of readdirSync(folder)) if (name.includes('.other')) rmSync(join(folder, name))
}

async function eventually(what: string, is: () => boolean | Promise<boolean>, within = 4_000): Promise<void> {
  for (let waited = 0; waited < within; waited += 10) {
    if (await is()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(what)
}

describe('at start', () => {
  it('a folder that is missing is told, and not made', async () => {
    const missing = join(folder, 'data', 'tasks.db')
    assert.match(await refusal(missing), /cannot be made: its folder does not exist; make it first/)
    assert.deepEqual(readdirSync(folder), [])
  })

  it('a folder in place of a file is told', async () => {
    mkdirSync(path)
    assert.match(await refusal(), /cannot be opened; is it a directory/)
  })

  it('a text is left as it is, byte for byte, and nothing is put beside it', async () => {
    writeFileSync(path, 'Dear diary, '.repeat(1_000))
    const before = contents()
    assert.match(
      await refusal(),
      /what stands there is no database of ours, and was left as it is; choose another path/,
    )
    assert.deepEqual(contents(), before)
  })

  it('a text of a few letters too', async () => {
    writeFileSync(path, 'Dear')
    const before = contents()
    assert.match(await refusal(), /is no database of ours/)
    assert.deepEqual(contents(), before)
  })

  it('the database of another application is left as it is', async () => {
    foreignFile('CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)')
    const before = contents()
    assert.match(await refusal(), /is the database of another application, and was left as it is; choose another path/)
    assert.deepEqual(contents(), before)
  })

  it('so it is with what another application has left in its -wal file', async () => {
    foreignFile('PRAGMA journal_mode = WAL; CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)', true)
    const before = contents()
    assert.deepEqual([...before.keys()], ['tasks.db', 'tasks.db-wal'])
    assert.match(await refusal(), /is the database of another application/)
    assert.deepEqual(contents(), before)
  })

  it('so it is while the other application has it open', async () => {
    const other = openDatabase(path)
    closers.push(() => other.close())
    other.exec('PRAGMA journal_mode = WAL; CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)')
    const before = contents()
    assert.match(await refusal(), /is the database of another application/)
    assert.deepEqual(contents().get('tasks.db-wal'), before.get('tasks.db-wal'))
    assert.deepEqual(contents().get('tasks.db'), before.get('tasks.db'))
    other.exec('INSERT INTO invoices VALUES (2)')
  })

  it('a file of no bytes is ours to take', async () => {
    writeFileSync(path, '')
    const { runner } = await opened()
    await (await runner.submit('work', '')).wait()
    assert.equal((await runner.counts()).succeeded, 1)
  })

  it('a path with odd characters is a path', async () => {
    path = join(folder, 'tä sks%20#1?.db')
    await (await opened()).runner.close()
    const { runner } = await opened()
    await (await runner.submit('work', '')).wait()
    await runner.close()
    assert.ok(readdirSync(folder).includes('tä sks%20#1?.db'))
  })

  it('a damaged file is told', async () => {
    const { runner } = await opened()
    await runner.submit('work', PRIVATE)
    await runner.close()
    const database = openDatabase(path)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
    for (const part of ['-wal', '-shm']) rmSync(`${path}${part}`, { force: true })
    overwrite(4_096, statSync(path).size)
    const told = await refusal()
    assert.match(told, /is damaged, and what stood in it is gone; move it away.*put a backup in its place.*start again/)
    assert.doesNotMatch(told, new RegExp(PRIVATE))
  })

  it('a file that cannot be written is told', async () => {
    await (await opened()).runner.close()
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o444)
    chmodSync(folder, 0o555)
    const told = await asNobody(() => refusal())
    chmodSync(folder, 0o755)
    assert.match(told, /cannot be written; let this user write the file and its folder/)
  })

  it('a file that cannot be made is told', async () => {
    chmodSync(folder, 0o555)
    const told = await asNobody(() => refusal())
    chmodSync(folder, 0o755)
    assert.match(told, /cannot be made: its folder cannot be written; let this user write it, or choose another path/)
  })

  it('a file that cannot be read is told', async () => {
    await (await opened()).runner.close()
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o000)
    chmodSync(folder, 0o777)
    assert.match(await asNobody(() => refusal()), /cannot be opened; is it a directory, or may this user not read it/)
  })

  it('what is made is for its owner alone, whatever the umask', async () => {
    const before = process.umask(0)
    closers.push(() => process.umask(before))
    const { runner } = await opened()
    await runner.submit('work', PRIVATE)
    assert.deepEqual(
      readdirSync(folder)
        .toSorted()
        .map((name) => `${name} ${(statSync(join(folder, name)).mode & 0o777).toString(8)}`),
      ['tasks.db 600', 'tasks.db-shm 600', 'tasks.db-wal 600'],
    )
  })
})

/** As a user without rights; root may write whatever there is. */
async function asNobody<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  if (process.getuid?.() !== 0) return await work()
  if ((statSync(folder).mode & 0o777) === 0o700) chmodSync(folder, 0o755)
  process.seteuid?.(65_534)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}

function overwrite(from: number, to: number): void {
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(to - from, 0xa5), 0, to - from, from)
  closeSync(file)
}

describe('while it is open', () => {
  const befalls: Record<string, { readonly by: () => void; readonly told: RegExp }> = {
    removed: {
      by: () => unlinkSync(path),
      told: /tasks\.db was removed while it was in use, and what stood in it is gone/,
    },
    'moved away': { by: () => renameSync(path, `${path}.old`), told: /tasks\.db was removed/ },
    'removed with all that belongs to it': {
      by: () => {
        for (const part of ['', '-wal', '-shm']) unlinkSync(`${path}${part}`)
      },
      told: /tasks\.db was removed/,
    },
    'replaced by another one': {
      by: () => {
        copyFileSync(path, `${path}.copy`)
        renameSync(`${path}.copy`, path)
      },
      told: /tasks\.db was replaced by another file while it was in use/,
    },
    'robbed of its -wal': {
      by: () => unlinkSync(`${path}-wal`),
      told: /tasks\.db-wal was removed while it was in use/,
    },
    emptied: {
      by: () => truncateSync(path),
      told: /tasks\.db was (?:emptied|overwritten) while it was in use|no database of ours/,
    },
    'overwritten from its first byte': {
      by: () => overwrite(0, statSync(path).size),
      told: /overwritten|no database of ours/,
    },
    'overwritten but for its first page': { by: () => overwrite(4_096, statSync(path).size), told: /damaged/ },
    'cut in half': { by: () => truncateSync(path, 8_192), told: /damaged/ },
    'overwritten by the database of another application': {
      by: () => {
        const other = openDatabase(`${path}.other`)
        other.exec('CREATE TABLE invoices (a)')
        other.close()
        writeFileSync(path, readFileSync(`${path}.other`))
      },
      told: /overwritten|damaged|no database of ours/,
    },
  }
  for (const [what, { by, told }] of Object.entries(befalls)) {
    it(`a file that is ${what}: soon noticed, nobody pretends to work, and close works`, async () => {
      const { runner, faults, end } = await opened()
      await (await runner.submit('work', PRIVATE)).wait()
      const long = await runner.submit('long')
      await eventually('it runs', async () => (await long.status())?.state === 'running')
      if (/overwritten|cut/.test(what)) checkpoint() // what still stands in the -wal would mend it
      by()
      if (what === 'removed') await eventually('it is told, though nobody asks', () => faults.length > 0, 2_000)
      await eventually('submit is refused', () =>
        runner.submit('work', PRIVATE).then(
          () => false,
          () => true,
        ),
      )
      for (const ask of [
        () => runner.submit('work', PRIVATE),
        () => runner.submitMany('work', [PRIVATE]),
        () => long.status(),
        () => runner.counts(),
        () => runner.cancel(long.id),
      ]) {
        await assert.rejects(ask(), (error) => {
          assert.ok(error instanceof EngineError, String(error))
          assert.match(error.message, told)
          assert.match(error.message, /what stood in it is gone|left as it is/)
          assert.doesNotMatch(error.message, new RegExp(PRIVATE))
          return true
        })
      }
      end()
      const { completed, returned, pending } = await runner.close({ deadline: 100 })
      assert.deepEqual({ completed, returned, pending }, { completed: 0, returned: 0, pending: 0 })
    })
  }

  it('a file that has taken its place is not touched by our close', async () => {
    const { runner, faults } = await opened()
    await (await runner.submit('work', '')).wait()
    const other = join(folder, 'other.db')
    await (await create(other).runner.submit('work', '')).wait()
    await (closers.pop() as () => Promise<unknown>)()
    renameSync(other, path)
    for (const part of ['-wal', '-shm']) {
      unlinkSync(`${path}${part}`)
      if (existsSync(`${other}${part}`)) renameSync(`${other}${part}`, `${path}${part}`)
    }
    const next = await opened()
    await (await next.runner.submit('work', 'in the new one')).wait()
    await eventually('it is told', () => faults.length > 0, 2_000)
    const before = readdirSync(folder)
    await runner.close()
    assert.deepEqual(readdirSync(folder), before)
    assert.equal((await next.runner.counts()).succeeded, 2)
    await next.runner.close()
    assert.equal((await (await opened()).runner.counts()).succeeded, 2)
  })

  it('a second name for the file, and a look at it from elsewhere, are no faults', async () => {
    const { runner, faults } = await opened()
    linkSync(path, join(folder, 'also.db'))
    const database = openDatabase(path)
    closers.push(() => database.close())
    database.exec('SELECT * FROM tasks')
    checkpoint()
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    await (await runner.submit('work', '')).wait()
    assert.deepEqual(faults, [])
  })

  function checkpoint(): void {
    const database: Database = openDatabase(path)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
  }
})

/** Another process, which does what it is told. */
class Companion {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    this.#child = child
    closers.push(() => this.stop())
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }

  static async start(program: string, disk?: 'tmpfs' | 'limited'): Promise<Companion> {
    const command = [process.execPath, program, path, ...(disk === undefined ? [] : [disk])]
    const [first, ...others] = disk === 'tmpfs' ? [...withSmallDisk(folder), ...command] : command
    const child = spawn(first as string, others, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const companion = new Companion(child)
    await once(child, 'message')
    return companion
  }

  async ask(...what: string[]): Promise<unknown> {
    const [answer] = (await Promise.all([once(this.#child, 'message'), this.#child.send(what)]))[0]
    const { value, error } = answer as { value?: unknown; error?: { code: string; message: string } }
    if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code })
    return value
  }
}

/** What runs a command with a disk of 2 MB at `at`, which nobody else sees. */
function withSmallDisk(at: string): string[] {
  return ['unshare', '-Urm', 'sh', '-c', 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', at]
}

function can(command: readonly string[]): boolean {
  return spawnSync(command[0] as string, command.slice(1)).status === 0
}

describe('a disk', { timeout: 30_000 }, () => {
  let program: string
  beforeAll(async () => {
    program = await bundle(new URL('support/fault-child.ts', import.meta.url))
  })

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

  for (const [disk, { possible, told }] of Object.entries(disks) as ['tmpfs' | 'limited', typeof disks.tmpfs][]) {
    it.skipIf(!possible)(
      `that is full (${disk}): submits are refused, verdicts wait, and work goes on by itself`,
      async () => {
        const child = await Companion.start(program, disk)
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
        const child = await Companion.start(program, disk)
        await child.ask('open')
        const long = (await child.ask('long')) as string
        await eventually('it runs', async () => (await child.ask('state', long)) === 'running')
        await child.ask('fill')
        await child.ask('end')
        assert.deepEqual(await child.ask('close'), { completed: 0, returned: 0, abandoned: 1, pending: 0 })
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
  let program: string
  beforeAll(async () => {
    program = await bundle(new URL('support/fault-child.ts', import.meta.url))
  })

  it('that another process holds at start is waited for', async () => {
    const first = await Companion.start(program)
    await first.ask('open')
    await first.ask('close')
    await first.stop()
    const child = await Companion.start(program)
    await child.ask('lockAll')
    const { runner } = create()
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
    const { runner, faults, end } = await opened()
    const child = await Companion.start(program)
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
  const { runner } = await opened()
  const ids = (
    await runner.submitMany(
      'work',
      Array.from({ length: 50 }, () => ''),
    )
  ).map(({ id }) => id)
  const backup = join(folder, 'backup.db')
  if (can(['sqlite3', '--version'])) execFileSync('sqlite3', [path, `.backup ${backup}`])
  else openDatabase(path).exec(`VACUUM INTO '${backup}'`)
  path = backup
  const restored = await opened()
  for (const id of ids) assert.notEqual(await restored.runner.status(id), undefined)
})
