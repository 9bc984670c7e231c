/**
 * What a page shows is true: each program in it is a file beside the tests, compiled with the rest and the same to the
 * letter. It is run, in a folder of its own; one that is a test itself (shop.test.ts) vitest runs by itself. Those of the
 * README run in processes of their own, as those of its readers do; those of the other pages in this one, which is quicker.
 *
 * On a page: `<!-- snippet:name -->`, the program as a block of `ts`, and if its output is of interest `prints` and that as
 * a block of `text`.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { format, promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { builtProgram, FROM_SOURCES } from './programs.js'
import { type SmtpServer, startSmtpServer } from './smtp-server.js'

export const run: typeof execFile.__promisify__ = promisify(execFile)
export const root: string = fileURLToPath(new URL('../..', import.meta.url))
export const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: '', TSX_TSCONFIG_PATH: `${root}tsconfig.json` }

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

/** The arguments for Node that run a program from its sources. */
export const fromSources = (path: string): string[] => ['--import', tsx, `${root}${path}`]

/** The same, in the shortest time. */
export const command = (path: string): string[] => (FROM_SOURCES ? fromSources(path) : [builtProgram(path)])

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** An empty folder, until the tests of the file have ended. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'snippet-'))
  folders.push(folder)
  return folder
}

/** A program of a page, and what the page says it prints. */
interface Program {
  readonly code: string
  readonly prints: string
}

function programsOf(text: string): Map<string, Program> {
  const found = text.matchAll(
    /<!-- snippet:([\w.-]+) -->\n```ts\n([\s\S]*?)```\n(?:\nprints\n\n```text\n([\s\S]*?)```)?/g,
  )
  return new Map([...found].map(([, name = '', code = '', prints = '']) => [name, { code, prints }]))
}

/** What a program has printed, in a process of its own. */
export async function runAlone(path: string, smtpUrl: string): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, command(path), {
    cwd: newFolder(),
    env: { ...env, SMTP_URL: smtpUrl },
  })
  expect(stderr).toBe('')
  return stdout
}

/** What a program has printed, as a module of this process. */
export async function runHere(path: string, smtpUrl: string): Promise<string> {
  // Loaded before its time is measured: while a module is loaded on a slow machine virtual time may move on.
  await import('nodemailer')
  const printed: string[] = []
  const before = process.cwd()
  const { log } = console
  vi.stubEnv('SMTP_URL', smtpUrl)
  process.chdir(newFolder())
  console.log = (...values) => void printed.push(`${format(...values)}\n`)
  try {
    await import(/* @vite-ignore */ `${root}${path}`)
  } finally {
    console.log = log
    process.chdir(before)
    vi.unstubAllEnvs()
  }
  return printed.join('')
}

/**
 * The tests of a page: `page` and `folder`, where its programs stand, from the root of the repository.
 *
 * @param apart programs that are run by another test
 */
export function testSnippets(
  page: string,
  folder: string,
  runProgram: (path: string, smtpUrl: string) => Promise<string>,
  apart: readonly string[] = [],
): void {
  const text = readFileSync(`${root}${page}`, 'utf8')
  const programs = programsOf(text)

  describe(page, () => {
    let server: SmtpServer
    beforeAll(async () => {
      server = await startSmtpServer()
    })
    afterAll(() => server.close())

    it(`shows every program that stands in ${folder}/, and no other`, () => {
      const files = readdirSync(`${root}${folder}`).map((file) => file.replace(/\.ts$/, ''))
      expect([...programs.keys()].sort()).toEqual(files.sort())
      expect(text.match(/^ *```ts$/gm)?.length ?? 0).toBe(files.length)
    })

    for (const [name, { code, prints }] of programs) {
      it(`shows ${name}.ts as it is, and what it prints`, { timeout: 30_000 }, async () => {
        const path = `${folder}/${name}.ts`
        expect(readFileSync(`${root}${path}`, 'utf8')).toBe(code)
        if (name.endsWith('.test') || apart.includes(name)) return
        const printed = await runProgram(path, server.url)
        if (prints !== '') expect(printed).toBe(prints)
      })
    }
  })
}
