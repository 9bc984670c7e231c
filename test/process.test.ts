/** A runner and the life of its process: unfinished work holds it open, and nothing else does. */
import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { builtProgram } from './support/programs.js'

const run = promisify(execFile)

/** What a program prints until it exits by itself. */
async function printed(program: string): Promise<string> {
  const library = pathToFileURL(builtProgram('src/index.ts')).href
  const source = `import { BackgroundRunner, defineTask } from '${library}'\n${program}`
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '--eval', source], { timeout: 25_000 })
  expect(stderr).toBe('')
  return stdout.trim()
}

/** Calls back later without holding the process: what holds it has to be the runner. */
const UNHELD = 'const later = (fn) => setTimeout(fn, 200).unref();'

describe('the process', { timeout: 30_000 }, () => {
  it.each([
    ['an idle runner holds nothing', `new BackgroundRunner({ tasks: {} }); console.log('end')`, 'end'],
    [
      'a runner that has finished its work holds nothing, though nobody closed it',
      `const runner = new BackgroundRunner({ tasks: { a: defineTask({ run: () => 1 }) } })
       await runner.submit('a'); await runner.onIdle()
       await new Promise(setImmediate)
       console.log(process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'Immediate').join())`,
      '',
    ],
    [
      'a task that is scheduled holds it',
      `const runner = new BackgroundRunner({ tasks: { a: defineTask({ run: () => console.log('ran') }) } })
       await runner.submit('a', undefined, { delay: 100 })`,
      'ran',
    ],
    [
      'a task that waits while the runner is paused holds it',
      `${UNHELD} const runner = new BackgroundRunner({ tasks: { a: defineTask({ run: () => console.log('ran') }) } })
       await runner.pause(); await runner.submit('a'); later(() => runner.resume())`,
      'ran',
    ],
    [
      'a handler that waits for something that holds nothing holds it',
      `${UNHELD} const runner = new BackgroundRunner({ tasks: { a: defineTask({ run: () => new Promise(later) }) } })
       runner.on('succeeded', () => console.log('done')); await runner.submit('a')`,
      'done',
    ],
    [
      'after close nothing holds it, not even a handler that never ends and tasks that wait',
      `const runner = new BackgroundRunner({ tasks: { a: defineTask({ timeout: '1h', run: () => new Promise(() => {}) }) } })
       await runner.submit('a'); await runner.submit('a', undefined, { delay: '1h' })
       await new Promise((resolve) => runner.once('started', resolve))
       console.log(JSON.stringify(await runner.close({ deadline: 10 })))`,
      '{"completed":0,"returned":0,"abandoned":1,"pending":1}',
    ],
    [
      'a runner that only submits holds nothing',
      `const runner = new BackgroundRunner({ work: false, tasks: { a: defineTask({ run: () => 1 }) } })
       await runner.submit('a'); console.log((await runner.counts()).queued)`,
      '1',
    ],
  ])('%s', async (_, program, output) => {
    expect(await printed(program)).toBe(output)
  })
})
