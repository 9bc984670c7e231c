/** As core.ts, with a handler inline, in a worker thread and in a child process; and where tinypool is not installed. */
import { deepEqual, equal, match } from 'node:assert/strict'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BackgroundRunner, defineTask } from 'background-runner'
import { runTask, taskConformance } from 'background-runner/testing'

const handler = pathToFileURL(join(process.cwd(), 'handler.js'))
const retry = { attempts: 1 }

const open = () =>
  new BackgroundRunner({
    tasks: {
      inline: defineTask<typeof import('./handler.js')>({ isolation: 'inline', module: handler, retry }),
      thread: defineTask<typeof import('./handler.js')>({ isolation: 'thread', module: handler, retry }),
      process: defineTask<typeof import('./handler.js')>({ isolation: 'process', module: handler, retry }),
    },
  })

export async function run(): Promise<void> {
  const runner = open()
  const told: unknown[] = []
  runner.on('progress', ({ name, progress }) => {
    told.push([name, progress])
  })
  for (const name of ['inline', 'thread', 'process'] as const) {
    const handle = await runner.submit(name, { width: 21 })
    const { width, pid } = await handle.result()
    equal(width, 42)
    equal(pid === process.pid, name !== 'process')
    // @ts-expect-error Its input is an object with a width.
    await runner.submit(name, 21).then(({ id }) => runner.cancel(id))
  }
  deepEqual(told, [
    ['inline', 'half'],
    ['thread', 'half'],
    ['process', 'half'],
  ])
  await runner.close()
  for (const isolation of ['thread', 'process'] as const) await test(isolation)
}

async function test(isolation: 'thread' | 'process'): Promise<void> {
  const double = defineTask<typeof import('./handler.js')>({ isolation, module: handler })
  await taskConformance(double, { valid: [{ width: 21 }], invalid: [], isolated: true })
  const wait = defineTask<typeof import('./handler.js'), 'wait'>({
    isolation,
    module: handler,
    export: 'wait',
    timeout: '1h',
    retry,
  })
  const { outcome, elapsed } = await runTask(wait, undefined, { isolated: true })
  deepEqual([outcome.type, elapsed], ['failed', 3_600_000])
}

export async function runWithoutPeers(): Promise<void> {
  const runner = open()
  equal((await (await runner.submit('inline', { width: 21 })).result()).width, 42)
  for (const name of ['thread', 'process'] as const) {
    const { error } = await (await runner.submit(name, { width: 21 })).wait()
    equal(error?.code, 'MISSING_DEPENDENCY')
    match(error?.message ?? '', /npm install tinypool$/)
  }
  await runner.close()
}
