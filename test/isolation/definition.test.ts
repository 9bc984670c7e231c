/** What `defineTask` refuses of an isolated task, and what it makes of one that it takes. */
import { availableParallelism } from 'node:os'
import { pathToFileURL } from 'node:url'
import { defineTask, type InputIssue, InvalidInputError } from 'background-runner'
import { describe, expect, it } from 'vitest'

const module = new URL('./modules/basics.js', import.meta.url)
const good = { isolation: 'thread', module }

/** A definition as JavaScript may write it. */
const define = (definition: unknown) => defineTask<{ run(): unknown }>(definition as never)

function issuesOf(definition: unknown): readonly InputIssue[] {
  try {
    define(definition)
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInputError)
    return (error as InvalidInputError).issues
  }
  return []
}

const MODULE = "must be the URL of a file, such as new URL('./resize.js', import.meta.url), got "
const PLACE = "must be 'inline', 'thread' or 'process', got "
const MEMORY = "must be a size such as '256MB', of at least 16MB, got "
const EXPORT = 'must have 1 to 256 characters, no control character and no lone surrogate, got '

describe('a bad option is refused', () => {
  it.each<[string, object, string, (string | number)[]]>([
    ['a module that is a path', { module: './resize.js' }, `${MODULE}"./resize.js"`, ['module']],
    ['a module that is the text of a URL', { module: module.href }, `${MODULE}"file://`, ['module']],
    [
      'a module of the web',
      { module: new URL('http://example.com/a.js') },
      `${MODULE}"http://example.com/a.js"`,
      ['module'],
    ],
    ['a module on another machine', { module: new URL('file://server/share/resize.js') }, MODULE, ['module']],
    ['a module whose path is none', { module: new URL('file:///a%2Fb.js') }, MODULE, ['module']],
    ['no module', { module: undefined }, `${MODULE}undefined`, ['module']],
    ['a module that is nothing', { module: null }, `${MODULE}null`, ['module']],
    ['a place that there is not', { isolation: 'worker' }, `${PLACE}"worker"`, ['isolation']],
    ['no place', { isolation: undefined }, `${PLACE}undefined`, ['isolation']],
    ['memory without a unit', { memory: '12' }, `${MEMORY}"12"`, ['memory']],
    ['memory that is a number', { memory: 256 }, `${MEMORY}256`, ['memory']],
    ['less memory than a worker needs', { memory: '1MB' }, `${MEMORY}"1MB"`, ['memory']],
    ['memory in words', { memory: 'lots' }, `${MEMORY}"lots"`, ['memory']],
    ['memory below nothing', { memory: '-64MB' }, `${MEMORY}"-64MB"`, ['memory']],
    ['no tasks at all', { worker: { maxTasks: 0 } }, 'must be an integer of at least 1, got 0', ['worker', 'maxTasks']],
    ['half a task', { worker: { maxTasks: 1.5 } }, 'must be an integer of at least 1, got 1.5', ['worker', 'maxTasks']],
    ['a time that is none', { worker: { idleTimeout: 'soon' } }, 'must be', ['worker', 'idleTimeout']],
    ['a worker that is no object', { worker: 4 }, 'must be an object, got 4', ['worker']],
    ['what a worker does not know', { worker: { size: 4 } }, 'is unknown here; there is maxTasks', ['worker', 'size']],
    ['an export without a name', { export: '' }, `${EXPORT}""`, ['export']],
    ['an export that is no name', { export: () => 1 }, EXPORT, ['export']],
    ['a handler besides', { run: () => 1 }, 'must be left out, the handler is in the module, got ', ['run']],
    ['no attempt at once', { concurrency: 0 }, 'must be an integer of at least 1, got 0', ['concurrency']],
    ['a schema that is none', { input: {} }, 'must be a Standard Schema', ['input']],
    ['an unknown option', { timeOut: '5s' }, 'is unknown here; there is ', ['timeOut']],
  ])('%s', (_name, options, message, path) => {
    const issues = issuesOf({ ...good, ...options })
    expect(issues.map((issue) => issue.path)).toEqual([path])
    expect(issues[0]?.message.slice(0, message.length)).toBe(message)
  })

  it('all that is wrong at once', () => {
    const bad = {
      isolation: 'fork',
      module: './resize.js',
      export: '',
      memory: 'lots',
      worker: { maxTasks: 0, idleTimeout: -1, recycle: true },
      run: () => 1,
      retries: 3,
    }
    const paths = issuesOf(bad).map(({ path }) => path.join('.'))
    expect(paths.sort()).toEqual([
      'export',
      'isolation',
      'memory',
      'module',
      'retries',
      'run',
      'worker.idleTimeout',
      'worker.maxTasks',
      'worker.recycle',
    ])
  })

  it('a handler that is no module’s and is to be isolated', () => {
    const issues = issuesOf({ isolation: 'process', run: () => 1 })
    expect(issues.map(({ path }) => path[0])).toEqual(['run', 'module'])
  })

  it('what is no definition at all', () => {
    for (const each of [undefined, null, 'thread', [good]]) expect(issuesOf(each)).not.toEqual([])
  })
})

describe('a definition is made', () => {
  it('with the defaults of a worker', () => {
    const { isolation, concurrency } = define(good)
    expect(concurrency).toBe(availableParallelism())
    expect(isolation).toEqual({
      place: 'thread',
      file: { url: module.href, name: 'run' },
      memory: undefined,
      maxTasks: Number.POSITIVE_INFINITY,
      idleTimeout: 30_000,
    })
  })

  it('as it is told', () => {
    const options = { export: 'noop', memory: '1.5GB', worker: { maxTasks: 5, idleTimeout: '2m' }, concurrency: 3 }
    const { isolation, concurrency } = define({ isolation: 'process', module, ...options })
    expect(concurrency).toBe(3)
    expect(isolation).toEqual({
      place: 'process',
      file: { url: module.href, name: 'noop' },
      memory: 1.5 * 1_024 ** 3,
      maxTasks: 5,
      idleTimeout: 120_000,
    })
  })

  it('without isolation where it is inline, and then with no limit of its own', () => {
    const { isolation, concurrency } = define({ isolation: 'inline', module, memory: '64MB' })
    expect(isolation).toBeUndefined()
    expect(concurrency).toBe(Number.POSITIVE_INFINITY)
  })

  it('of what is undefined as if it were left out', () => {
    const undefineds = { export: undefined, memory: undefined, worker: undefined, run: undefined, input: undefined }
    expect(issuesOf({ ...good, ...undefineds })).toEqual([])
  })

  it('with a URL of another realm', () => {
    const { href } = pathToFileURL('/app/resize.js')
    class ForeignUrl {
      get protocol(): string {
        return 'file:'
      }
      get href(): string {
        return href
      }
    }
    expect(define({ ...good, module: new ForeignUrl() }).isolation?.file.url).toBe(href)
  })

  it('whose handler can be called inline, also where it is isolated', async () => {
    const definition = define({ ...good, export: 'noop' })
    expect(await definition.run(undefined as never, {} as never)).toBeUndefined()
  })

  it('frozen', () => {
    const definition = define(good)
    expect(Object.isFrozen(definition)).toBe(true)
    expect(Object.isFrozen(definition.isolation)).toBe(true)
  })
})
