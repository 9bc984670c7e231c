/** The file stops growing: what is over goes in small steps, and its room is used again. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { describe, it } from 'vitest'
import { loadDriver } from '../../src/sqlite/driver.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { place } from './support/place.js'

const at = place()

function create(clock: VirtualClock, work: boolean) {
  const runner = new BackgroundRunner({
    clock,
    work,
    tasks: { work: defineTask({ run: (input: string) => input.slice(0, 300) }) },
    engine: sqlite({ path: at.path, lease: 300 }),
    concurrency: 50,
    retention: { succeeded: '10s' },
  })
  runner.on('error', (error) => assert.fail(String(error)))
  at.after(() => runner.close({ deadline: 0 }))
  return runner
}

const sizes = (): { file: number; wal: number } => ({
  file: statSync(at.path).size,
  wal: statSync(`${at.path}-wal`).size,
})

/** Resolves when all have read what they tell each other of, which they do as often as they show that they live. */
async function feedIsRead(): Promise<void> {
  const database = (await loadDriver())(at.path)
  const feed = database.prepare('SELECT count(*) AS n FROM feed')
  while (Number(feed.get()?.['n']) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  database.close()
}

describe('under steady load', { timeout: 30_000 }, () => {
  for (const neighbours of [0, 1]) {
    it(`neither the file nor its -wal goes on growing, with ${neighbours} other processes that look on`, async () => {
      const clock = new VirtualClock()
      const runner = create(clock, true)
      for (let n = 0; n < neighbours; n++) await create(new VirtualClock(), false).ready()
      const after: { file: number; wal: number }[] = []
      const most: number[] = []
      for (let round = 0; round < 20; round++) {
        const inputs = Array.from({ length: 400 }, (_, n) => `${round} ${n} `.padEnd(n % 10 === 0 ? 6_000 : 500, 'x'))
        await runner.submitMany('work', inputs, { tags: ['a', 'b'] })
        await runner.onIdle()
        await clock.advance(11_000)
        await runner.submit('work', 'one that ends, so that there is pruning')
        await runner.onIdle()
        await clock.advance(2_000)
        const { succeeded } = await runner.counts()
        most.push(succeeded)
        if (neighbours > 0) await feedIsRead()
        after.push(sizes())
      }
      assert.ok(Math.max(...most) <= 1, `what is over is gone: ${most.join(', ')}`)
      const largest = (which: 'file' | 'wal', from: number, to: number): number =>
        Math.max(...after.slice(from, to).map((size) => size[which]))
      const told = after.map(({ file, wal }) => `${file >> 10}+${wal >> 10}`).join(' ')
      assert.ok(largest('file', 14, 20) <= largest('file', 0, 14) * 1.1, `the file grows, KiB: ${told}`)
      // Some 46 MiB have gone through it.
      assert.ok(largest('wal', 0, 20) <= 20 * 1_048_576, `the -wal is large, KiB: ${told}`)
      const database = (await loadDriver())(at.path)
      const rows = database
        .prepare('SELECT (SELECT count(*) FROM tags) AS tags, (SELECT count(*) FROM inputs) AS inputs')
        .get()
      database.close()
      assert.deepEqual({ ...rows }, { tags: 0, inputs: 0 })
    })
  }
})

it('a -wal file that had to grow, since somebody read for long, is cut again', { timeout: 30_000 }, async () => {
  const runner = create(new VirtualClock(), false)
  await runner.ready()
  const reader = (await loadDriver())(at.path)
  at.after(() => reader.close())
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM tasks').get()
  const inputs = Array.from({ length: 2_000 }, () => 'x'.repeat(5_000))
  for (let n = 0; n < 4; n++) await runner.submitMany('work', inputs)
  const limit = 16 * 1_048_576
  assert.ok(sizes().wal > 2 * limit, `${sizes().wal} bytes`)
  reader.exec('COMMIT')
  for (let n = 0; n < 2_500 && sizes().wal > limit; n++) await runner.submit('work', 'x')
  assert.ok(sizes().wal <= limit, `it still has ${sizes().wal} bytes`)
})

it('what is over goes in steps, between which others have their turn', async () => {
  const clock = new VirtualClock()
  const runner = create(clock, true)
  await runner.submitMany(
    'work',
    Array.from({ length: 1_500 }, () => 'x'),
  )
  await runner.onIdle()
  await clock.advance(11_000)
  const seen: number[] = []
  const watched: number[] = []
  runner.watch((ids) => void watched.push(ids.length))
  await runner.submit('work', 'x')
  await runner.onIdle()
  const pruned = clock.advance(2_000)
  for (let turn = 0; turn < 200; turn++) {
    seen.push((await runner.counts()).succeeded)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await pruned
  assert.ok(new Set(seen).size >= 8, `seen in between: ${[...new Set(seen)].join(', ')}`)
  assert.ok(Math.max(...watched) <= 200, 'at most 200 in a step')
  assert.equal((await runner.counts()).succeeded, 1)
})
