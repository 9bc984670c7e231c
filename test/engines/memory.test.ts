import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BackgroundRunner, type Clock, defineTask, memory, type TaskRecord } from 'background-runner'
import { createTestRunner, engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'

engineConformance(
  { describe, it },
  { name: 'memory', create: () => memory(), capabilities: { durable: false, shared: false } },
)

describe('the engine memory, with very many tasks', () => {
  it('makes what becomes due at one moment claimable in slices, and starts nothing before all of it is', async () => {
    let ran = 0
    await using test = createTestRunner({ tasks: { work: defineTask({ run: () => void ran++ }) } })
    const { runner, clock } = test
    await runner.submitMany('work', Array.from({ length: 20_000 }), { delay: 1_000 })
    const seen: number[] = []
    const watching = (async () => {
      while (ran === 0) {
        const { scheduled } = await runner.counts()
        if (scheduled !== seen.at(-1)) seen.push(scheduled)
        if (scheduled > 0) assert.equal(ran, 0)
        await nextTurn()
      }
    })()
    await clock.advance(1_000)
    await watching
    assert.ok(seen.length > 4, `seen: ${seen.join()}`)
    const steps = seen.slice(1).map((scheduled, i) => (seen[i] ?? 0) - scheduled)
    for (const step of steps) assert.ok(step > 0 && step < 10_000, `${step} in one turn`)
    assert.equal(ran, 20_000)
  })

  for (const [title, now, most] of [
    ['on the clock of the machine', () => Date.now(), 4],
    ['on a clock that stands still', () => 1_800_000_000_000, 36],
  ] as const) {
    it(`leaves the event loop its turns while tasks compute, ${title}`, async () => {
      let ran = 0
      const compute = (): void => {
        const end = performance.now() + 2
        while (performance.now() < end);
        ran++
      }
      const clock: Clock = { now, monotonic: () => performance.now(), setTimeout, clearTimeout }
      await using runner = new BackgroundRunner({
        tasks: { compute: defineTask({ run: compute }) },
        clock,
        concurrency: 1,
      })
      await runner.submitMany('compute', Array.from({ length: 100 }))
      const turns: number[] = []
      while (ran < 100) {
        const before = ran
        await nextTurn()
        turns.push(ran - before)
      }
      assert.ok(Math.max(...turns) <= most, `tasks in one turn: ${turns.join()}`)
    })
  }

  it('lists newest first, with cursors that stay, after very many were pruned', async () => {
    await using test = createTestRunner({ tasks: { work: defineTask({ run: () => {} }) }, retention: { count: 100 } })
    const { runner, clock } = test
    const sooner = await runner.submit('work', 'kept', { delay: '1d' })
    const first = await runner.submitMany('work', inputs(25_000))
    const middle = await runner.submit('work', 'kept', { delay: '1d' })
    const { next: cursor } = await runner.list({ limit: 1_000 })
    assert.ok(cursor !== undefined, 'there is another page')
    await clock.advance('2s')
    const second = await runner.submitMany('work', inputs(25_000))
    const later = await runner.submit('work', 'kept', { delay: '1d' })
    await clock.advance('2s')
    const kept = await all(runner, undefined)
    const finished = [...first, ...second].slice(-100).map(({ id }) => id)
    assert.deepEqual(
      kept.map(({ id }) => id),
      [later.id, ...finished.reverse(), middle.id, sooner.id],
    )
    assert.deepEqual(
      (await all(runner, cursor)).map(({ id }) => id),
      [sooner.id],
      'a cursor from before goes on where it was',
    )
    assert.deepEqual((await runner.list({ limit: 1 })).tasks[0]?.id, later.id)
  })

  it('keeps its list in order while single tasks are removed from all over it', async () => {
    await using test = createTestRunner({ tasks: { work: defineTask({ run: () => {} }) } })
    const { runner, drain } = test
    const tasks = await runner.submitMany('work', inputs(5_000))
    await drain()
    const expected = tasks.filter((_task, i) => i % 512 === 0 || i % 7 === 3 || (i > 1_000 && i < 1_100))
    const kept = new Set(expected)
    for (const task of tasks) if (!kept.has(task)) await runner.remove(task.id)
    assert.deepEqual(
      (await all(runner, undefined)).map(({ id }) => id),
      expected.map(({ id }) => id).reverse(),
    )
    for (const task of expected) await runner.remove(task.id)
    assert.deepEqual(await runner.list(), { tasks: [] })
    const again = await runner.submit('work', 1)
    assert.deepEqual(
      (await runner.list()).tasks.map(({ id }) => id),
      [again.id],
    )
  })
})

const inputs = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** What all pages show. */
async function all(runner: BackgroundRunner, cursor: string | undefined): Promise<TaskRecord[]> {
  const tasks: TaskRecord[] = []
  for (let from = cursor; ; ) {
    const page = await runner.list({ limit: 70, ...(from !== undefined && { cursor: from }) })
    tasks.push(...page.tasks)
    if (page.next === undefined) return tasks
    from = page.next
  }
}
