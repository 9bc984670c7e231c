/**
 * What the README shows is true: each program is a file in readme/, compiled with the rest and the same to the letter. It is
 * run here, in a folder of its own; one that is a test itself (shop.test.ts) vitest runs as it runs this one.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { BackgroundRunner, defineTask, memory } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SmtpServer, startSmtpServer } from './support/smtp-server.js'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'readme-'))
  folders.push(folder)
  return folder
}

const command = (name: string): string[] => ['--import', tsx, `${root}test/readme/${name}.ts`]
const env = { ...process.env, NODE_OPTIONS: '', TSX_TSCONFIG_PATH: `${root}tsconfig.json` }

/** name → the program, and what the README says it prints */
const programs = new Map<string, { code: string; prints: string }>()
for (const [, name = '', code = '', prints = ''] of readme.matchAll(
  /<!-- snippet:([\w.-]+) -->\n```ts\n([\s\S]*?)```\n(?:\nprints\n\n```text\n([\s\S]*?)```)?/g,
)) {
  programs.set(name, { code, prints })
}

describe('the README', () => {
  let server: SmtpServer
  beforeAll(async () => {
    server = await startSmtpServer()
  })
  afterAll(() => server.close())

  it('shows every program that stands in readme/, and no other', () => {
    const files = readdirSync(`${root}test/readme`).map((file) => file.replace(/\.ts$/, ''))
    expect([...programs.keys()].sort()).toEqual(files.sort())
    expect(readme.match(/```ts\n/g)?.length).toBe(files.length)
  })

  for (const [name, { code, prints }] of programs) {
    it(`shows ${name}.ts as it is, and what it prints`, { timeout: 30_000 }, async () => {
      expect(readFileSync(`${root}test/readme/${name}.ts`, 'utf8')).toBe(code)
      if (name.endsWith('.test') || name === 'processes') return
      const { stdout, stderr } = await run(process.execPath, command(name), {
        cwd: newFolder(),
        env: { ...env, SMTP_URL: server.url },
      })
      expect(stderr).toBe('')
      if (prints !== '') expect(stdout).toBe(prints)
    })
  }

  it('shows what two processes on one file print', { timeout: 30_000 }, async () => {
    const [, typed = '', prints] =
      /```console\n\$ node processes\.js worker &\n\$ (.*)\n([\s\S]*?)```/.exec(readme) ?? []
    expect(typed).toBe('node processes.js web')
    const options = { cwd: newFolder(), env }
    const worker = spawn(process.execPath, [...command('processes'), 'worker'], { ...options, stdio: 'inherit' })
    const ended = once(worker, 'exit')
    try {
      const { stdout, stderr } = await run(process.execPath, [...command('processes'), 'web'], options)
      expect([stdout, stderr]).toEqual([prints, ''])
    } finally {
      worker.kill('SIGTERM')
    }
    expect(await ended).toEqual([0, null])
  })

  it('says of each engine what its capabilities say', () => {
    const path = join(newFolder(), 'tasks.db')
    const engines = [memory(), sqlite({ path })]
    const rows = new Map(
      [...readme.matchAll(/^\| `(\w+)`: [^|]*\| (\w+)[^|]* \| (\w+)[^|]* \|$/gm)].map(([, name = '', ...cells]) => [
        name,
        cells.map((cell) => ({ yes: true, no: false })[cell] ?? cell),
      ]),
    )
    const [first = {}] = engines.map(({ capabilities }) => capabilities)
    const promised = Object.keys(first).map((name) => [
      name,
      engines.map(({ capabilities }) => capabilities[name as keyof typeof capabilities]),
    ])
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(promised))
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
