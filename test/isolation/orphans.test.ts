/** Whatever becomes of the parent, its child processes do not outlive it; and what they ran comes back, by the crash rule. */
import assert from 'node:assert/strict'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, describe, it } from 'vitest'
import { Deeds, Folder, history } from './support/deeds.js'
import type { LeaverSettings } from './support/leaver.js'
import { eventually, isRunning, Program } from './support/program.js'

const folder = new Folder()
const programs: Program[] = []
afterAll(async () => {
  for (const program of programs) await program.kill()
  folder.remove()
})

async function leaver(settings: LeaverSettings): Promise<Program> {
  const program = await Program.start(new URL('support/leaver.ts', import.meta.url), settings)
  programs.push(program)
  return program
}

/** The processes that it has told of. */
const workersOf = ({ told }: Program): number[] =>
  told.flatMap(({ worker, output }) => [worker, output].filter((each) => typeof each === 'number'))

async function allGone(pids: readonly number[]): Promise<void> {
  assert.equal(new Set(pids).size, pids.length)
  await eventually(() => !pids.some(isRunning))
}

describe('child processes whose parent', () => {
  it('was killed: none is left, not even one in an endless loop', async () => {
    const begun = ['spin', 'sleepDead', 'ignore', 'obey']
    const program = await leaver({ place: 'process', begun, leave: 'not' })
    await program.tells('ready')
    const workers = workersOf(program)
    assert.equal(workers.length, begun.length)
    assert.ok(workers.every(isRunning))
    program.signal('SIGKILL')
    await allGone(workers)
  })

  it.each(['who', 'leaveSpin'])('was killed when they had nothing to do, after %s: the same', async (deed) => {
    const program = await leaver({ place: 'process', done: [deed], leave: 'not' })
    await program.tells('ready')
    program.signal('SIGKILL')
    await allGone(workersOf(program))
  })

  it.runIf(process.platform === 'linux')(
    'was killed before they had started: the same, an endless loop or not',
    async () => {
      const program = await leaver({ place: 'process', leave: 'at once' })
      await program.tells('begun')
      assert.equal(workersOf(program).length, 1)
      await allGone(workersOf(program))
    },
  )

  it.each(['exit', 'throw'] as const)('leaves by %s: the same', async (leave) => {
    const program = await leaver({ place: 'process', begun: ['spin', 'ignore'], leave })
    const { code } = await program.ended()
    assert.equal(code, leave === 'exit' ? 3 : 1)
    assert.equal(workersOf(program).length, 2)
    await allGone(workersOf(program))
  })

  it('closes at a signal that reaches all of them, such as Ctrl+C: what runs is not ended by it', async () => {
    const program = await leaver({ place: 'process', done: ['who'], begun: ['finishAnyway'], leave: 'not' })
    await program.tells('ready')
    program.signal('SIGINT', 'group')
    const [told] = await program.tells('report')
    assert.deepEqual(told?.['report'], { completed: 1, returned: 0, abandoned: 0, pending: 0 })
    assert.deepEqual(await program.ended(), { code: 0, signal: null })
  })

  it('was killed, on sqlite: the crash rule, and they run again in the next process', async () => {
    const path = folder.path('.db')
    const program = await leaver({ place: 'process', begun: ['spin', 'ignore'], leave: 'not', path })
    await program.tells('ready')
    const ids = program.told.flatMap(({ id }) => (id === undefined ? [] : [id as string]))
    await program.kill()
    await allGone(workersOf(program))
    const deeds = new Deeds({ place: 'process', options: { engine: sqlite({ path }) } as never })
    for (const id of ids) {
      const runs = async (): Promise<boolean> => {
        const { attempt, progress } = (await deeds.runner.status(id)) ?? {}
        return attempt === 2 && progress !== undefined && !workersOf(program).includes(progress as number)
      }
      await eventually(runs)
      await deeds.runner.cancel(id)
      assert.deepEqual(history(await deeds.runner.wait(id)), ['crashed', 'cancelled TASK_CANCELLED'])
    }
    await deeds.runner.close()
  })
})
