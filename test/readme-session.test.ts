/** The curl session that the README shows, typed into a shell against the Express example as `npm start` starts it. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')
const session = /<!-- session:begin -->\n```console\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''

/** What differs from run to run: ids, moments, and headers that HTTP adds. */
const ID = /[A-Za-z0-9_-]{22}(?=[".\s/\\]|$)/g
const plain = (text: string): string =>
  text
    .replace(/\r/g, '')
    .replace(/^(Date|Connection|Keep-Alive|Content-Length|X-Powered-By|Transfer-Encoding): .*\n/gim, '')
    .replace(/\.[a-z0-9]+@example/g, '.<time>@example')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<date>')
    .trim()

it('the README shows what a newcomer sees', { timeout: 30_000 }, async () => {
  const steps = session
    .split(/^\$ /m)
    .slice(1)
    .map((step) => [step.slice(0, step.indexOf('\n')), step.slice(step.indexOf('\n') + 1)] as const)
  expect(steps.length).toBeGreaterThan(4)
  const start = JSON.parse(readFileSync(`${root}package.json`, 'utf8')).scripts.start as string
  // `exec`: a signal to npm reaches the example itself, and not a shell in between.
  const [exec, command, ...args] = start.split(' ')
  expect([exec, command]).toEqual(['exec', 'node'])
  const { SMTP_URL: _, ...env } = process.env
  const folder = mkdtempSync(join(tmpdir(), 'readme-'))
  const example = spawn(process.execPath, args, {
    cwd: root,
    env: { ...env, PORT: '0', NODE_OPTIONS: '', DATABASE_PATH: join(folder, 'tasks.db') },
  })
  const exited = once(example, 'exit')
  try {
    let address = ''
    for await (const line of createInterface(example.stdout)) {
      address = /listening on http:\/\/(\S+)/.exec(line)?.[1] ?? ''
      if (address !== '') break
    }
    const ids = new Map<string, string>()
    for (const [typed, shown] of steps) {
      const real = typed.replace('localhost:3000', address).replace(ID, (id) => ids.get(id) ?? id)
      // A person reads before typing on: by then the mail has gone out.
      const ask = async (): Promise<string> => (await run('bash', ['-c', real])).stdout
      let answer = await ask()
      for (let n = 0; n < 100 && /queued|running|^\[\]/.test(answer); n++) answer = await ask()
      const told = answer.match(ID) ?? []
      for (const [n, id] of (shown.match(ID) ?? []).entries()) ids.set(id, told[n] ?? '')
      expect(plain(answer)).toBe(plain(shown.replace(ID, (id) => ids.get(id) ?? id)))
    }
  } finally {
    example.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true })
  }
})
