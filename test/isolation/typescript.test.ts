/**
 * Modules in TypeScript, loaded by Node itself: in processes of their own, since here Vite would help. What this Node can
 * do by itself decides what is expected; `npm run nodes` runs it on each.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BackgroundRunner, defineTask } from 'background-runner'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { installed } from '../support/installed.js'
import { env, fromSources, run } from '../support/snippets.js'

const PLACES = ['inline', 'thread', 'process'] as const
const at = (file: string): string => new URL(`./modules/typescript/${file}`, import.meta.url).href

/** Submits 21 to a task for each of its arguments, a place and a module, and prints what became of them. */
const APP = `
import { BackgroundRunner, defineTask } from 'background-runner'
const definitions = process.argv.slice(2).map((each) => {
  const [isolation, href] = each.split(' ')
  return [each, defineTask({ isolation, module: new URL(href), retry: { attempts: 1 } })]
})
const runner = new BackgroundRunner({ tasks: Object.fromEntries(definitions) })
const ends = definitions.map(async ([name]) => {
  const { output, error } = await (await runner.submit(name, { width: 21 })).wait()
  return error === undefined ? output : error.code + ' ' + error.message
})
console.log(JSON.stringify(await Promise.all(ends)))
await runner.close()
`

let app: Awaited<ReturnType<typeof installed>>
beforeAll(async () => {
  app = await installed(['tinypool'])
  writeFileSync(join(app.folder, 'app.js'), APP)
})
afterAll(() => app.remove())

/** What became of each of these modules in each place; those that are alike once. */
async function endsOf(files: readonly string[], node: readonly string[] = []): Promise<unknown[]> {
  const tasks = files.flatMap((file) => PLACES.map((place) => `${place} ${at(file)}`))
  const { stdout } = await run(process.execPath, [...node, 'app.js', ...tasks], { cwd: app.folder, env })
  return [...new Set(JSON.parse(stdout) as unknown[])]
}

const tsx = fromSources('').slice(0, 2)
const HELP = 'give the built file, start Node with --import tsx'

describe('with tsx', () => {
  it('a module is loaded by its own name or by that of the file it will be, as are those that it imports', async () => {
    expect(await endsOf(['resize.js', 'levels.ts'], tsx)).toEqual([42])
  })
})

describe.runIf(process.features.typescript)('with a Node that takes types away', () => {
  it('a module is loaded by its own name or by that of the file it will be', async () => {
    expect(await endsOf(['alone.js', 'alone.ts'])).toEqual([42])
  })

  it('one that is more than types cannot be loaded, and the error says what helps', async () => {
    const said = 'TypeScript enum is not supported in strip-only mode; Node only takes types away'
    expect(await endsOf(['levels.ts'])).toEqual([
      `MODULE_NOT_LOADED the module ${new URL(at('levels.ts')).pathname} cannot be loaded: ${said}: ${HELP}`,
    ])
  })

  it('one that imports a file by the name it will have cannot be loaded, and the error names the file', async () => {
    const [error, ...others] = await endsOf(['resize.js'])
    expect(others).toEqual([])
    expect(error).toContain(`MODULE_NOT_LOADED the module ${new URL(at('resize.ts')).pathname} cannot be loaded: `)
    expect(error).toContain(`; ${new URL(at('double.ts')).pathname} is there: ${HELP}, or import that`)
  })
})

describe.runIf(!process.features.typescript)('with a Node that knows no TypeScript', () => {
  it('a module cannot be loaded, and the error says what helps', async () => {
    const said = (file: string): string => {
      const path = new URL(at(file)).pathname
      const hint = `Node ${process.version} runs no TypeScript: ${HELP}, or use Node 22.18 or later`
      return `MODULE_NOT_LOADED the module ${path} cannot be loaded: Unknown file extension ".ts" for ${path}; ${hint}`
    }
    expect(await endsOf(['alone.js', 'levels.ts'])).toEqual([said('alone.ts'), said('levels.ts')])
  })
})

describe('a program that is no file', () => {
  it('has its tasks run everywhere: what it was told of itself does not reach a worker', async () => {
    const tasks = PLACES.map((place) => `${place} ${new URL('./modules/basics.js', import.meta.url).href}`)
    const flags = ['--inspect-port', '0', '--input-type', 'module', '--eval', APP.replace('slice(2)', 'slice(1)')]
    const { stdout } = await run(process.execPath, [...flags, ...tasks], { cwd: app.folder, env })
    const ends = JSON.parse(stdout) as { readonly thread: string }[]
    expect(ends.map(({ thread }) => thread?.split(' ')[0])).toEqual(['process', 'thread', 'process'])
  })
})

describe('under vitest', () => {
  it('a module is loaded inline by what loads the tests', async () => {
    type Resize = typeof import('./modules/typescript/resize.js')
    const module = new URL('./modules/typescript/resize.js', import.meta.url)
    const levels = new URL('./modules/typescript/levels.ts', import.meta.url)
    const tasks = {
      resize: defineTask<Resize>({ isolation: 'inline', module }),
      levels: defineTask<typeof import('./modules/typescript/levels.js')>({ isolation: 'inline', module: levels }),
    }
    await using runner = new BackgroundRunner({ tasks })
    const handles = [await runner.submit('resize', { width: 21 }), await runner.submit('levels', { width: 21 })]
    expect(await Promise.all(handles.map((each) => each.result()))).toEqual([42, 42])
  })
})

describe('what cannot be loaded', () => {
  it('says why', async () => {
    const missing = new URL('./modules/nothing.js', import.meta.url)
    const basics = new URL('./modules/basics.js', import.meta.url)
    const tasks = {
      missing: defineTask<{ run(): void }>({ isolation: 'inline', module: missing, retry: { attempts: 1 } }),
      unnamed: defineTask<{ nothing(): void }, 'nothing'>({
        isolation: 'inline',
        module: basics,
        export: 'nothing',
        retry: { attempts: 1 },
      }),
    }
    await using runner = new BackgroundRunner({ tasks })
    const errorOf = async (name: keyof typeof tasks) => (await (await runner.submit(name)).wait()).error
    expect(await errorOf('missing')).toMatchObject({
      code: 'MODULE_NOT_LOADED',
      message: expect.stringContaining(`the module ${missing.pathname} cannot be loaded: `),
    })
    expect(await errorOf('unnamed')).toMatchObject({
      code: 'MODULE_NOT_LOADED',
      message: `the module ${basics.pathname} cannot be loaded: it has no function "nothing" among its exports`,
    })
  })
})
