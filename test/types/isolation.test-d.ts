/** What the compiler knows of isolated tasks: the types come from the module, and what is wrong with it says so. */
import {
  BackgroundRunner,
  defineTask,
  type StandardSchema,
  type TaskDefinition,
  type TaskHandle,
} from 'background-runner'
import { runTask } from 'background-runner/testing'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import type { Picture } from './modules/handlers.js'

type Handlers = typeof import('./modules/handlers.js')
type Mapped = Parameters<Handlers['mapped']>[0]
type NoRun = typeof import('./modules/no-run.js')

const isolation = 'thread'
const module = new URL('./modules/handlers.js', import.meta.url)
const reminder = z.object({ at: z.coerce.date<string>() })

const tasks = {
  resize: defineTask<Handlers>({ isolation, module }),
  sync: defineTask<Handlers, 'sync'>({ isolation: 'process', module, export: 'sync' }),
  ping: defineTask<Handlers, 'none'>({ isolation: 'inline', module, export: 'none' }),
  context: defineTask<Handlers, 'onlyContext'>({ isolation, module, export: 'onlyContext' }),
  optional: defineTask<Handlers, 'optional'>({ isolation, module, export: 'optional' }),
  remind: defineTask<Handlers, 'dated', typeof reminder>({ isolation, module, export: 'dated', input: reminder }),
}
const runner = new BackgroundRunner({ tasks })

describe('a task whose handler is in a module', () => {
  it('takes and gives what the handler takes and gives', () => {
    expectTypeOf(runner.submit('resize', { path: 'a.png' })).resolves.toEqualTypeOf<TaskHandle<{ bytes: number }>>()
    expectTypeOf(runner.submit('resize', { path: 'a.png' }))
      .resolves.toHaveProperty('result')
      .returns.resolves.toEqualTypeOf<{ bytes: number }>()
    expectTypeOf(tasks.resize).toEqualTypeOf<TaskDefinition<Picture, { bytes: number }>>()
  })

  it('may have a handler that gives no promise', () => {
    expectTypeOf(runner.submit('sync', { path: 'a.png' })).resolves.toEqualTypeOf<TaskHandle<'done'>>()
  })

  it('takes no input where the handler takes none, or only its context', () => {
    expectTypeOf(runner.submit('ping')).resolves.toEqualTypeOf<TaskHandle<'pong'>>()
    expectTypeOf(runner.submit('context')).resolves.toEqualTypeOf<TaskHandle<string>>()
    // @ts-expect-error: it takes no input
    runner.submit('ping', 5)
    // @ts-expect-error: nor does this one
    runner.submit('context', {})
  })

  it('may leave its input out where the handler may', () => {
    runner.submit('optional')
    runner.submit('optional', { path: 'a.png' }, { delay: '1s' })
    // @ts-expect-error: it is a picture
    runner.submit('optional', 5)
  })

  it('takes what goes into its schema, where the handler takes what comes out', () => {
    expectTypeOf(runner.submit('remind', { at: '2030-01-01' })).resolves.toEqualTypeOf<TaskHandle<number>>()
    // @ts-expect-error: a Date is what comes out
    runner.submit('remind', { at: new Date() })
  })

  it('needs no third type argument where its schema changes nothing', () => {
    const input: z.ZodType<Picture, Picture> = z.object({ path: z.string() })
    expectTypeOf(defineTask<Handlers>({ isolation, module, input })).toEqualTypeOf<
      TaskDefinition<Picture, { bytes: number }>
    >()
    // @ts-expect-error: the handler takes a path
    defineTask<Handlers>({ isolation, module, input: z.object({ file: z.string() }) })
  })

  it('is refused with a wrong name or input', () => {
    // @ts-expect-error: there is no such task
    runner.submit('resiez', { path: 'a.png' })
    // @ts-expect-error: the input is missing
    runner.submit('resize')
    // @ts-expect-error: a path is missing
    runner.submit('resize', { file: 'a.png' })
    // @ts-expect-error: and here
    runner.submitMany('resize', [{ file: 'a.png' }])
  })

  it('has all the options of a task, and its own', () => {
    defineTask<Handlers>({
      isolation: 'process',
      module,
      memory: '256MB',
      concurrency: 2,
      worker: { maxTasks: 100, idleTimeout: '1m' },
      timeout: '30s',
      retry: { attempts: 2 },
      priority: 1,
      setup: () => {},
    })
  })

  it('has limits that know its input, or what goes into its schema', () => {
    defineTask<Handlers>({
      concurrency: {
        max: 2,
        by: (input) => {
          expectTypeOf(input).toEqualTypeOf<Picture>()
          return input.path
        },
      },
      rateLimit: { max: 10, interval: '1s', by: ({ path }: Picture) => path },
      requires: ({ size }) => ({ pixels: (size?.width ?? 1) * (size?.height ?? 1) }),
      isolation,
      module,
    })
    defineTask<Handlers, 'dated', typeof reminder>({
      isolation,
      module,
      export: 'dated',
      input: reminder,
      requires: ({ at }) => {
        expectTypeOf(at).toBeString()
        return { cpu: 1 }
      },
    })
    // @ts-expect-error: the handler takes no tenant
    defineTask<Handlers>({ isolation, module, concurrency: { max: 2, by: ({ tenant }) => tenant } })
    // @ts-expect-error: an object is no key
    defineTask<Handlers>({ isolation, module, concurrency: { max: 2, by: ({ size }) => size } })
  })

  it('gives runTask its types', () => {
    void runTask(tasks.resize, { path: 'a.png' }).then(({ outcome }) => {
      if (outcome.type === 'succeeded') expectTypeOf(outcome.output).toEqualTypeOf<{ bytes: number }>()
    })
    // @ts-expect-error: a path is missing
    void runTask(tasks.resize, {})
  })
})

/** What `defineTask` wants as `module`; with all its type arguments, since only then no other kind of task fits. */
type ModuleOf<Define extends (definition: never) => unknown> =
  Parameters<Define> extends [{ readonly module: infer Module }] ? Module : never

describe('a definition does not compile', () => {
  it('if the module has no `run`', () => {
    // @ts-expect-error: it has `start`
    defineTask<NoRun>({ isolation, module })
    defineTask<NoRun, 'start'>({ isolation, module, export: 'start' })
    expectTypeOf<ModuleOf<typeof defineTask<NoRun, 'run', StandardSchema>>>().toHaveProperty(
      'the module exports no handler (input, ctx) of this name',
    )
  })

  it('if the named export is not there, or no handler', () => {
    // @ts-expect-error: there is none
    defineTask<Handlers, 'nothing'>({ isolation, module, export: 'nothing' })
    // @ts-expect-error: it is a string
    defineTask<Handlers, 'version'>({ isolation, module, export: 'version' })
    // @ts-expect-error: it wants a context that nobody gives it
    defineTask<Handlers, 'otherContext'>({ isolation, module, export: 'otherContext' })
  })

  it('if the export is named in the types alone, or in the options alone', () => {
    // @ts-expect-error: `export` is missing
    defineTask<Handlers, 'none'>({ isolation, module })
    // @ts-expect-error: the types are those of `run`
    defineTask<Handlers>({ isolation, module, export: 'none' })
  })

  it('if the schema is named in the types alone, or is not that of the handler', () => {
    // @ts-expect-error: `input` is missing
    defineTask<Handlers, 'dated', typeof reminder>({ isolation, module, export: 'dated' })
    // @ts-expect-error: the handler takes a path
    defineTask<Handlers, 'run', typeof reminder>({ isolation, module, input: reminder })
  })

  it('if JSON cannot hold the input', () => {
    // @ts-expect-error: a Date, and no schema that makes it
    defineTask<Handlers, 'dated'>({ isolation, module, export: 'dated' })
    // @ts-expect-error: a Map, however deep
    defineTask<Handlers, 'mapped'>({ isolation, module, export: 'mapped' })
    expectTypeOf<ModuleOf<typeof defineTask<Handlers, 'mapped', StandardSchema<Mapped>>>>().toHaveProperty(
      'the input of a task must be JSON',
    )
  })

  it('if it has `run` as well', () => {
    // @ts-expect-error: the handler is that of the module
    defineTask<Handlers>({ isolation, module, run: () => 1 })
    // @ts-expect-error: also without a type argument
    defineTask({ isolation, module, run: () => 1 })
    // @ts-expect-error: a handler that is no module's cannot be isolated
    defineTask({ isolation, run: () => 1 })
  })

  it('without a type argument', () => {
    // @ts-expect-error: nothing is known of the module
    defineTask({ isolation, module })
    // @ts-expect-error: nor of this export
    defineTask({ isolation, module, export: 'none' })
    expectTypeOf<ModuleOf<typeof defineTask<never, 'run', StandardSchema>>>().toHaveProperty(
      "the type of the module is missing: defineTask<typeof import('./resize.js')>(…)",
    )
  })

  it('with a wrong option', () => {
    // @ts-expect-error: a URL
    defineTask<Handlers>({ isolation, module: './handlers.js' })
    // @ts-expect-error: where it runs is missing
    defineTask<Handlers>({ module })
    // @ts-expect-error: `thread`
    defineTask<Handlers>({ isolation: 'threads', module })
    // @ts-expect-error: no unit
    defineTask<Handlers>({ isolation, module, memory: '12' })
    // @ts-expect-error: `timeout`
    defineTask<Handlers>({ isolation, module, timeOut: '5s' })
  })

  it('with a type argument that JSON cannot hold', () => {
    defineTask<{ at: string }, string>({ run: ({ at }) => at })
    // @ts-expect-error: a Date
    defineTask<{ at: Date }, string>({ run: ({ at }) => at.toISOString() })
  })
})
