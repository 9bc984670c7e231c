/** What the README shows is true: each program is a file beside this one, compiled with the rest, run here, and the same to the letter. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SmtpServer, startSmtpServer } from './support/smtp-server.js'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')

/** name → the program, and what the README says it prints */
const programs = new Map<string, { code: string; prints: string }>()
for (const [, name = '', code = '', prints = ''] of readme.matchAll(
  /<!-- snippet:([\w-]+) -->\n```ts\n([\s\S]*?)```\n(?:\nprints\n\n```text\n([\s\S]*?)```)?/g,
)) {
  programs.set(name, { code, prints })
}

describe('the README', () => {
  let server: SmtpServer
  beforeAll(async () => {
    server = await startSmtpServer()
  })
  afterAll(() => server.close())

  it('shows every program that stands beside this test, and no other', () => {
    const files = readdirSync(`${root}test/readme`).map((file) => file.replace(/\.ts$/, ''))
    expect([...programs.keys()].sort()).toEqual(files.sort())
    expect(readme.match(/```ts\n/g)?.length).toBe(files.length)
  })

  for (const [name, { code, prints }] of programs) {
    it(`shows the program ${name} as it is, and what it prints`, { timeout: 30_000 }, async () => {
      expect(readFileSync(`${root}test/readme/${name}.ts`, 'utf8')).toBe(code)
      const { stdout, stderr } = await run(process.execPath, ['--import', 'tsx', `test/readme/${name}.ts`], {
        cwd: root,
        env: { ...process.env, SMTP_URL: server.url, NODE_OPTIONS: '' },
      })
      expect(stderr).toBe('')
      if (prints !== '') expect(stdout).toBe(prints)
    })
  }
})
