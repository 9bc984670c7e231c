/** What the compiler knows: names, inputs and outputs come from the definitions, and a wrong one does not compile. */
import { BackgroundRunner, defineTask, type TaskHandle, type TaskRecord } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

interface Picture {
  path: string
  size?: { width: number; height: number }
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
const runner = new BackgroundRunner({ tasks })

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
