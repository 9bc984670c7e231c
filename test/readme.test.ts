/**
 * What the README shows is true: its programs (readme/, see support/snippets.ts), and what it says of the engines and the
 * shell. docs.test.ts does the same for the pages in docs/.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { describe, expect, it } from 'vitest'
import { command, env, newFolder, root, run, runAlone, testSnippets } from './support/snippets.js'

const readme = readFileSync(`${root}README.md`, 'utf8')

testSnippets('README.md', 'test/readme', runAlone, ['processes'])

describe('the README', () => {
  it('shows what two processes on one file print', { timeout: 30_000 }, async () => {
    const [, typed = '', prints] =
      /```console\n\$ node processes\.js worker &\n\$ (.*)\n([\s\S]*?)```/.exec(readme) ?? []
    expect(typed).toBe('node processes.js web')
    const options = { cwd: newFolder(), env }
    const worker = spawn(process.execPath, [...command('test/readme/processes.ts'), 'worker'], {
      ...options,
      stdio: 'inherit',
    })
    const ended = once(worker, 'exit')
    try {
      const { stdout, stderr } = await run(process.execPath, [...command('test/readme/processes.ts'), 'web'], options)
      expect([stdout, stderr]).toEqual([prints, ''])
    } finally {
      worker.kill('SIGTERM')
    }
    expect(await ended).toEqual([0, null])
  })

  it('tells a way to a backup of a file in use', { timeout: 30_000 }, async ({ skip }) => {
    const typed = /```sh\n(sqlite3 tasks\.db .*)\n```/.exec(readme)?.[1] ?? ''
    const cwd = newFolder()
    const open = (file: string): BackgroundRunner =>
      new BackgroundRunner({
        tasks: { greet: defineTask({ run: (name: string) => `Hello ${name}` }) },
        engine: sqlite({ path: join(cwd, file) }),
      })
    const original = open('tasks.db')
    const done = await original.submit('greet', 'Ada')
    await done.result()
    const waiting = await original.submit('greet', 'Grace', { delay: '1h' })
    const { stderr } = await run('bash', ['-c', typed], { cwd }).catch((error) => error)
    if (/not found/.test(stderr)) skip('there is no sqlite3 here')
    expect(stderr).toBe('')
    const copy = open('backup.db')
    expect(await copy.result(done.id)).toBe('Hello Ada')
    expect((await copy.status(waiting.id))?.state).toBe('scheduled')
    await original.close()
    await copy.close()
  })
})
