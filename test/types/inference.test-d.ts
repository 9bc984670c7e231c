/** What the compiler knows: names, inputs and outputs come from the definitions, and a wrong one does not compile. */
import {
  BackgroundRunner,
  defineTask,
  type Json,
  type ScheduleRecord,
  type TaskDefinition,
  type TaskHandle,
  type TaskRecord,
} from 'background-runner'
import { emailTask } from 'background-runner/email'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

interface Picture {
  path: string
  size?: { width: number; height: number }
}

/** A type that contains itself, and one that does so by an optional property. */
interface Tree {
  name: string
  children: Tree[]
}
type Chain = { value: number; next?: Chain }
/** Contains itself, and what JSON cannot hold. */
interface DatedTree {
  at: Date
  children: DatedTree[]
}

const tasks = {
  resize: defineTask({ run: async (input: Picture) => ({ bytes: input.path.length }) }),
  ping: defineTask({ run: () => 'pong' as const }),
  remind: defineTask({
    input: z.object({ at: z.coerce.date<string>(), note: z.string().default('') }),
    run: async ({ at, note }, { attempt }) => `${at.getTime()} ${note.length} ${attempt}`,
  }),
  email: emailTask({ transport: 'smtp://127.0.0.1:2525', from: 'App <app@example.com>' }),
}
enum Level {
  Low = 0,
  High = 1,
}

const runner = new BackgroundRunner({ tasks })

describe('schedule', () => {
  it('takes the input of the task that it names', () => {
    expectTypeOf(
      runner.schedule('a', { task: 'resize', input: { path: 'a.png' }, every: '1d' }),
    ).resolves.toEqualTypeOf<void>()
    runner.schedule('a', { task: 'ping', cron: '0 3 * * *', timezone: 'Europe/Berlin', overlap: 'queue' })
    runner.schedule('a', { task: 'remind', input: { at: '2030-01-01' }, every: 5_000 })
    // @ts-expect-error: it has a path
    runner.schedule('a', { task: 'resize', input: {}, every: '1d' })
    // @ts-expect-error: it takes an input
    runner.schedule('a', { task: 'resize', every: '1d' })
    // @ts-expect-error: it takes none
    runner.schedule('a', { task: 'ping', input: 5, every: '1d' })
    // @ts-expect-error: no task has this name
    runner.schedule('a', { task: 'nobody', every: '1d' })
    // @ts-expect-error: it is 'skip' or 'queue'
    runner.schedule('a', { task: 'ping', every: '1d', overlap: 'maybe' })
    // @ts-expect-error: no unit
    runner.schedule('a', { task: 'ping', every: '1 week' })
    expectTypeOf(runner.schedules()).resolves.toEqualTypeOf<readonly ScheduleRecord[]>()
    expectTypeOf(runner.unschedule('a')).resolves.toEqualTypeOf<boolean>()
  })
})

describe('submit', () => {
  it('takes the input of its task and gives a handle of its output', () => {
    expectTypeOf(runner.submit('resize', { path: 'a.png' })).resolves.toEqualTypeOf<TaskHandle<{ bytes: number }>>()
    expectTypeOf(runner.submit('resize', { path: 'a.png', size: { width: 1, height: 1 } }, { delay: '5m' }))
      .resolves.toHaveProperty('result')
      .returns.resolves.toEqualTypeOf<{ bytes: number }>()
  })

  it('needs no input where the task takes none', () => {
    expectTypeOf(runner.submit('ping')).resolves.toEqualTypeOf<TaskHandle<'pong'>>()
  })

  it('refuses an input where the task takes none', () => {
    runner.submit('ping', undefined, { delay: 1 })
    runner.submitMany('ping', [undefined, undefined])
    // @ts-expect-error: it takes no input
    runner.submit('ping', 5)
    // @ts-expect-error: nor an empty one
    runner.submit('ping', {})
    // @ts-expect-error: nor many
    runner.submitMany('ping', [1, 2])
  })

  it('leaves the input out where it is optional, or only the context is wanted', () => {
    const own = new BackgroundRunner({
      tasks: {
        optional: defineTask({ run: (input?: { path: string }) => input?.path ?? '' }),
        context: defineTask({ run: (_input: undefined, { id }) => id }),
      },
    })
    own.submit('optional')
    own.submit('optional', { path: 'a' }, { delay: 1 })
    own.submit('context')
    // @ts-expect-error: it is an object with a path
    own.submit('optional', 5)
    // @ts-expect-error: it takes no input
    own.submit('context', 5)
  })

  it('takes the input of a type that contains itself', () => {
    const own = new BackgroundRunner({
      tasks: {
        tree: defineTask({ run: (input: Tree) => input.name }),
        chain: defineTask({ run: (input: Chain) => input.value }),
        json: defineTask({ run: (input: { body: Json }) => input.body }),
      },
    })
    expectTypeOf(own.submit('tree', { name: 'a', children: [{ name: 'b', children: [] }] })).resolves.toEqualTypeOf<
      TaskHandle<string>
    >()
    own.submit('chain', { value: 1, next: { value: 2 } })
    own.submit('json', { body: [1, { a: null }] })
    // @ts-expect-error: a child is no string
    own.submit('tree', { name: 'a', children: ['b'] })
    // @ts-expect-error: a Date is not Json
    own.submit('json', { body: new Date() })
  })

  it('takes whatever input where the tasks are not known', () => {
    const wide: BackgroundRunner = runner
    wide.submit('anything', { a: 1 }, { delay: 1 })
    wide.submit('anything')
  })

  it('takes what goes into a schema, and the handler gets what comes out', () => {
    expectTypeOf(runner.submit('remind', { at: '2030-01-01' })).resolves.toEqualTypeOf<TaskHandle<string>>()
  })

  it('does not compile with a wrong name', () => {
    // @ts-expect-error: there is no such task
    runner.submit('resiez', { path: 'a.png' })
  })

  it('does not compile with a wrong input', () => {
    // @ts-expect-error: path is missing
    runner.submit('resize', { file: 'a.png' })
    // @ts-expect-error: the input is missing
    runner.submit('resize')
    // @ts-expect-error: a Date is not what goes into the schema
    runner.submit('remind', { at: new Date() })
    // @ts-expect-error: a mail needs a subject
    runner.submit('email', { to: 'a@example.com', text: 'Hi' })
  })

  it('does not compile with a wrong option', () => {
    // @ts-expect-error: no such unit
    runner.submit('ping', undefined, { delay: '5 minutes' })
    // @ts-expect-error: `when` is code, and a submit is data
    runner.submit('ping', undefined, { retry: { when: () => true } })
  })

  it('takes many inputs of one task', () => {
    expectTypeOf(
      runner.submitMany('resize', [{ path: 'a' }], (input, index) => ({ key: `${input.path}${index}` })),
    ).resolves.toEqualTypeOf<TaskHandle<{ bytes: number }>[]>()
    // @ts-expect-error: an input of another task
    runner.submitMany('resize', ['a.png'])
  })
})

describe('events', () => {
  it('are typed, and a wrong name does not compile', () => {
    runner.on('failed', (record) => expectTypeOf(record).toEqualTypeOf<TaskRecord>())
    runner.once('idle', () => {})
    runner.on('error', async (error, record) => {
      expectTypeOf(error).toBeUnknown()
      expectTypeOf(record).toEqualTypeOf<TaskRecord | undefined>()
    })
    // @ts-expect-error: there is no such event
    runner.on('finished', () => {})
    // @ts-expect-error: idle has no record
    runner.on('idle', (record: TaskRecord) => record.id)
  })
})

describe('defineTask', () => {
  it('refuses an input that JSON cannot hold', () => {
    // @ts-expect-error: a Date is not JSON
    defineTask({ run: (input: { at: Date }) => input.at.getTime() })
    // @ts-expect-error: nor is a Map, however deep
    defineTask({ run: (input: { list: { map: Map<string, string> }[] }) => input.list.length })
    // @ts-expect-error: nor a bigint
    defineTask({ run: (input: bigint) => String(input) })
    // @ts-expect-error: nor a function
    defineTask({ run: (input: { done: () => void }) => input.done() })
  })

  it('refuses what JSON cannot hold however deep it stands', () => {
    // @ts-expect-error: a Date, in a type that contains itself
    defineTask({ run: (input: DatedTree) => input.at })
    // @ts-expect-error: a Date in a tuple
    defineTask({ run: (input: { pair: [string, Date] }) => input.pair })
    // @ts-expect-error: a Date in a union
    defineTask({ run: (input: { at: string | Date }) => input.at })
    // @ts-expect-error: a Map in a Map of lists
    defineTask({ run: (input: Record<string, Map<string, string>[]>) => input })
    // @ts-expect-error: an optional bigint
    defineTask({ run: (input: { n?: bigint }) => String(input.n) })
    // @ts-expect-error: a method
    defineTask({ run: (input: { list: { done(): void }[] }) => input.list.length })
    // @ts-expect-error: bytes
    defineTask({ run: (input: { bytes: Uint8Array }) => input.bytes.length })
    // @ts-expect-error: a symbol key
    defineTask({ run: (input: { [key: symbol]: string }) => input })
    // @ts-expect-error: undefined in an array, where JSON would make null of it
    defineTask({ run: (input: (string | undefined)[]) => input.length })
    // @ts-expect-error: and in one that is nested
    defineTask({ run: (input: { lines: readonly (string | undefined)[] }) => input.lines.length })
  })

  it('takes types that contain themselves, and the library’s own Json', () => {
    defineTask({ run: (input: Tree) => input.name })
    defineTask({ run: (input: Chain) => input.value })
    defineTask({ run: (input: Json) => input })
    defineTask({ run: (input: { body: Json; more?: readonly Json[] }) => input.body })
  })

  it('takes what may be anything, brands, enumerations and records', () => {
    defineTask({ run: (input: unknown) => input === 1 })
    // biome-ignore lint/suspicious/noExplicitAny: what is not typed is taken, too
    defineTask({ run: (input: any) => input === 1 })
    defineTask({ run: (input: Record<string, unknown>) => Object.keys(input).length })
    defineTask({ run: (input: { id: string & { readonly brand: 'id' }; level: Level }) => input.id })
    defineTask({ run: (input: [number, string]) => input[0] })
    defineTask({ run: (input: { a: 1 } | { b: 2; c?: undefined }) => Object.keys(input).length })
  })

  it('takes interfaces, unions, optional properties and lists', () => {
    defineTask({
      run: (input: Picture | { urls: readonly string[]; tag?: 'a' | 'b' | null }) => Object.keys(input).length,
    })
  })

  it('refuses an unknown option', () => {
    // @ts-expect-error: it is `timeout`
    defineTask({ timeOut: '5s', run: () => 1 })
  })

  it('lets a handler submit through its own runner when `run` says what it returns', () => {
    const own = new BackgroundRunner({
      tasks: {
        parent: defineTask({
          run: async (count: number): Promise<string> => (await own.submit('child', count)).id,
        }),
        child: defineTask({ run: (count: number) => count + 1 }),
      },
    })
    expectTypeOf(own.submit('parent', 1)).resolves.toEqualTypeOf<TaskHandle<string>>()
  })
})

describe('limits', () => {
  interface Load {
    tenant: string
    rows: number
  }
  const load = async ({ rows }: Load) => rows

  it('know the input of `run` where they stand after it', () => {
    const work = defineTask({
      run: async (input: Load, { signal }) => (signal.aborted ? 0 : input.rows),
      concurrency: {
        max: 2,
        by: (input) => {
          expectTypeOf(input).toEqualTypeOf<Load>()
          return input.tenant
        },
      },
      rateLimit: {
        max: 100,
        interval: '1m',
        by: (input) => {
          expectTypeOf(input).toEqualTypeOf<Load>()
          return input.rows
        },
      },
      requires: (input) => {
        expectTypeOf(input).toEqualTypeOf<Load>()
        return { cpu: input.rows }
      },
    })
    expectTypeOf(work).toEqualTypeOf<TaskDefinition<Load, number>>()
  })

  it('may stand before `run` where it takes the input alone, with a type or without', () => {
    const work = defineTask({
      concurrency: { max: 2, by: ({ tenant }) => tenant },
      rateLimit: { max: 100, interval: 60_000, by: ({ tenant }: Load) => tenant },
      requires: { cpu: 2, memory: 0.5 },
      run: load,
    })
    expectTypeOf(work).toEqualTypeOf<TaskDefinition<Load, number>>()
  })

  it('get what goes into a schema, wherever they stand', () => {
    const remind = defineTask({
      concurrency: {
        max: 1,
        by: (input) => {
          expectTypeOf(input).toEqualTypeOf<{ at: string }>()
          return input.at
        },
      },
      input: z.object({ at: z.coerce.date<string>() }),
      requires: ({ at }) => ({ cpu: at.length }),
      run: async ({ at }, { attempt }) => at.getTime() + attempt,
      rateLimit: { max: 1, interval: '1s', by: ({ at }) => at },
    })
    expectTypeOf(remind).toEqualTypeOf<TaskDefinition<{ at: string }, number>>()
  })

  it('do not compile with what is no key, or no need', () => {
    // @ts-expect-error: an object is no key
    defineTask({ run: load, concurrency: { max: 1, by: (input) => input } })
    // @ts-expect-error: nor is a boolean
    defineTask({ run: load, concurrency: { max: 1, by: ({ rows }) => rows > 1 } })
    // @ts-expect-error: nor is nothing
    defineTask({ run: load, rateLimit: { max: 1, interval: '1s', by: () => undefined } })
    // @ts-expect-error: nor is a promise
    defineTask({ run: load, rateLimit: { max: 1, interval: '1s', by: async ({ tenant }) => tenant } })
    // @ts-expect-error: an amount is a number
    defineTask({ run: load, requires: { cpu: '2' } })
    // @ts-expect-error: and is so where it depends on the input
    defineTask({ run: load, requires: ({ tenant }) => ({ cpu: tenant }) })
    // @ts-expect-error: what is needed has a name
    defineTask({ run: load, requires: ({ rows }) => rows })
  })

  it('do not compile with what the input has not', () => {
    // @ts-expect-error: there is no account
    defineTask({ run: load, concurrency: { max: 1, by: ({ account }) => account } })
    // @ts-expect-error: nor is there one where a type says so
    defineTask({ run: load, concurrency: { max: 1, by: ({ account }: { account: string }) => account } })
    defineTask({
      input: z.object({ at: z.coerce.date<string>() }),
      // @ts-expect-error: a Date is what comes out of the schema
      requires: ({ at }) => ({ n: at.getTime() }),
      run: () => 1,
    })
  })

  it('do not compile with half of them', () => {
    // @ts-expect-error: what tells them apart is missing
    defineTask({ run: load, concurrency: { max: 1 } })
    // @ts-expect-error: how many is missing
    defineTask({ run: load, concurrency: { by: ({ tenant }: Load) => tenant } })
    // @ts-expect-error: the interval is missing
    defineTask({ run: load, rateLimit: { max: 1 } })
    // @ts-expect-error: no such unit
    defineTask({ run: load, rateLimit: { max: 1, interval: '1 minute' } })
  })

  it('are given to a runner and to a submit as amounts', () => {
    const own = new BackgroundRunner({ tasks: { load: defineTask({ run: load }) }, resources: { cpu: 4, memory: 0.5 } })
    own.submit('load', { tenant: 'a', rows: 1 }, { requires: { cpu: 2 } })
    own.submitMany('load', [{ tenant: 'a', rows: 1 }], ({ rows }) => ({ requires: { cpu: rows } }))
    // @ts-expect-error: a submit is data
    own.submit('load', { tenant: 'a', rows: 1 }, { requires: () => ({ cpu: 2 }) })
    // @ts-expect-error: an amount is a number
    own.submit('load', { tenant: 'a', rows: 1 }, { requires: { cpu: true } })
    // @ts-expect-error: and so is what there is
    new BackgroundRunner({ tasks, resources: { cpu: '4' } })
  })
})
