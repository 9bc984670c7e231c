import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { defineTask, NonRetryableError, RetryLaterError, type TaskContext } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { taskConformance, testTransport } from 'background-runner/testing'
import { describe, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { FROM, HELLO, smtpServer } from '../support/email.js'

const QUICKLY = { realTimeout: 500, grace: 30 } as const

/** What is said to be wrong. */
async function wrong(...args: Parameters<typeof taskConformance>): Promise<string[]> {
  const [definition, options] = args
  try {
    await taskConformance(definition, { ...QUICKLY, ...options })
  } catch (error) {
    assert.equal((error as Error).name, 'AssertionError')
    const [first, ...list] = (error as Error).message.split('\n')
    assert.equal(first, 'this is not a good task type:')
    return list.map((line) => line.replace(/^ {2}- /, ''))
  }
  return []
}

/** Much longer than the grace. */
const deaf = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150))

/** Waits, and obeys. */
function pause(ms: number, { signal }: TaskContext): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}

describe('a good task type', () => {
  it.each([
    ['that is done at once', defineTask({ input: z.number(), run: (n) => n * 2 })],
    ['that takes its time', defineTask({ input: z.number(), run: (n, ctx) => pause(20, ctx).then(() => n) })],
    [
      'that goes on where it was',
      defineTask({
        input: z.number(),
        run: async (n, ctx) => {
          for (let i = Number(ctx.saved ?? 0); i < n; i++) {
            await pause(2, ctx)
            await ctx.save(i + 1)
            ctx.progress(i)
          }
        },
      }),
    ],
    [
      'that finishes what it began, in time',
      defineTask({ input: z.number(), run: () => new Promise((resolve) => setTimeout(resolve, 10)) }),
    ],
  ] as const)('passes: one %s', async (_, definition) => {
    await taskConformance(definition, { valid: [1, 3], invalid: ['1', null, undefined] })
  })

  it('is tried with lists of inputs, else refused', async () => {
    const task = defineTask({ run: () => 1 })
    for (const [options, message] of [
      [undefined, /valid: must be an array of inputs, got undefined; invalid: must be an array/],
      [{ valid: [1] }, /options of taskConformance: invalid: must be an array of inputs, got undefined/],
      [{ valid: [1], invalid: [], grace: 'soon' }, /grace: must be/],
    ] as const)
      await assert.rejects(taskConformance(task, options as never), { code: 'INVALID_INPUT', message })
  })

  it('passes without an input', async () => {
    const definition = defineTask({ run: async () => 'done' })
    await taskConformance(definition, { valid: [undefined], invalid: [new Date()] })
  })

  it('passes with a setup that opens and a teardown that closes', async () => {
    let server: Server | undefined
    let opened = 0
    const definition = defineTask({
      setup: async () => {
        opened += 1
        server = createServer()
        await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
        return () => void server?.close()
      },
      run: () => assert.ok(server?.listening),
    })
    await taskConformance(definition, { valid: [undefined], invalid: [] })
    assert.ok(opened > 1)
  })

  describe('is the email task', () => {
    const inputs = {
      valid: [HELLO, { ...HELLO, to: [], bcc: ['bob@example.com', 'eve@example.com'], html: '<p>Hi</p>' }],
      invalid: [
        null,
        {},
        { ...HELLO, to: 'nobody' },
        { ...HELLO, to: 'a@example.com,b@example.com' },
        { ...HELLO, x: 1 },
      ],
    }

    it('with the test transport', async () => {
      const transport = testTransport()
      await taskConformance(emailTask({ transport, from: FROM }), inputs)
      transport.outbox.assertEmailSent({ bcc: 'eve@example.com', html: '<p>Hi</p>' })
    })

    it('with a server', async () => {
      const server = await smtpServer()
      await taskConformance(emailTask({ transport: server.url, from: FROM }), inputs)
      await server.until(() => server.connections.open === 0)
    })

    it('with a server that is slow', async () => {
      const server = await smtpServer({ rcpt: () => new Promise((resolve) => setTimeout(resolve, 20, undefined)) })
      await taskConformance(emailTask({ transport: server.url, from: FROM }), inputs)
    })
  })
})

describe('what is found', () => {
  it('bad input that submit takes, and good input that it refuses', async () => {
    const definition = defineTask({ input: z.object({ width: z.number() }), run: ({ width }) => width })
    const invalid = [{ width: '1' }, { width: -1 }, null] as const
    const found = await wrong(definition, { valid: [{ width: 1 }, { wide: 1 }], invalid })
    assert.equal(found[0], 'invalid[1] { width: -1 }: submit takes it')
    assert.match(
      found[1] ?? '',
      /^valid\[1\] \{ wide: 1 \}: submit refuses it: INVALID_INPUT: .*: width: Invalid input/,
    )
    assert.equal(found.length, 2)
  })

  it('an output that JSON would change', async () => {
    for (const output of [new Date(), new Map(), { at: Number.NaN }, 1n]) {
      const [found = '', ...more] = await wrong(defineTask({ run: () => output }), { valid: [undefined], invalid: [] })
      assert.match(found, /^valid\[0\] undefined: its output is lost: INVALID_INPUT: the output of task: /)
      assert.deepEqual(more, [])
    }
  })

  it('a good input with which it fails, never ends, or waits for another time', async () => {
    const definition = defineTask({
      run: (what: 'fail' | 'hang' | 'later', ctx) => {
        if (what === 'fail') throw new NonRetryableError('no such file', { code: 'ENOENT' })
        if (what === 'later') throw new RetryLaterError({ delay: '1h' })
        return new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
      },
    })
    assert.deepEqual(await wrong(definition, { valid: ['fail', 'hang', 'later'], invalid: [] }), [
      "valid[0] 'fail': it is failed: ENOENT: no such file",
      "valid[1] 'hang': it is running after 500ms",
      "valid[2] 'later': it is scheduled after 500ms: RETRY_LATER: to be run again in 1h",
    ])
  })

  it('a second run that fails', async () => {
    const made = new Set<string>()
    const make = (name: string): void => {
      if (made.has(name)) throw new Error(`${name} exists`)
      made.add(name)
    }
    assert.deepEqual(await wrong(defineTask({ run: make }), { valid: ['a'], invalid: [] }), [
      "valid[0] 'a', run a second time: it is failed: a exists",
    ])
  })

  it.each<[when: string, run: (ctx: TaskContext) => Promise<unknown>]>([
    ['before its handler was called', () => deaf()],
    [
      'as soon as its handler was called',
      (ctx) => {
        ctx.signal.throwIfAborted()
        return deaf()
      },
    ],
    ['half-way', (ctx) => pause(10, ctx).then(deaf)],
    [
      'after its first save',
      async (ctx) => {
        await pause(20, ctx)
        await ctx.save('half')
        for (let i = 0; i < 100; i++) await undefined // within this turn
        if (ctx.signal.aborted) await deaf()
        await pause(20, ctx)
      },
    ],
  ])('a signal that is not obeyed: %s', async (when, run) => {
    const definition = defineTask({ run: (_: undefined, ctx) => run(ctx).then(() => {}) })
    assert.deepEqual(await wrong(definition, { valid: [undefined], invalid: [] }), [
      `valid[0] undefined: its handler does not settle within 30ms when its signal is aborted ${when}`,
    ])
  })

  it('a handler that never ends', async () => {
    let runs = 0
    const definition = defineTask({ run: () => (++runs > 2 ? new Promise<void>(() => {}) : undefined) })
    assert.deepEqual(await wrong(definition, { valid: [undefined], invalid: [] }), [
      'valid[0] undefined: its handler does not settle within 30ms when its signal is aborted before its handler was called',
    ])
  })

  it('an attempt that cannot follow one that was aborted', async () => {
    let locked = false
    const definition = defineTask({
      run: async (_: undefined, ctx) => {
        assert.ok(!locked, 'it is locked')
        locked = true
        await pause(20, ctx)
        locked = false
      },
    })
    assert.deepEqual(await wrong(definition, { valid: [undefined], invalid: [] }), [
      'valid[0] undefined, run again after it was aborted before its handler was called: it is failed: ERR_ASSERTION: it is locked',
    ])
  })

  it('an attempt that does not understand what the one before has saved', async () => {
    const definition = defineTask({
      run: async (_: undefined, ctx) => {
        assert.equal(ctx.saved, undefined, 'what is this?')
        ctx.signal.throwIfAborted()
        await ctx.save({ step: 1 })
        await pause(20, ctx)
      },
    })
    const [found = '', ...more] = await wrong(definition, { valid: [undefined], invalid: [] })
    assert.match(
      found,
      /^valid\[0\] undefined, run again after it was aborted .*: it is failed: ERR_ASSERTION: what is this\?$/,
    )
    assert.deepEqual(more, [])
  })

  it('what is left open', async () => {
    const servers: Server[] = []
    const definition = defineTask({
      setup: async () => {
        const server = createServer()
        servers.push(server)
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      },
      run: () => {},
    })
    onTestFinished(() => void servers.map((server) => server.close()))
    const found = await wrong(definition, { valid: [undefined], invalid: [] })
    assert.deepEqual(found, [`it leaves open what it opened: TCPServerWrap × ${servers.length}`])
  })

  it('a teardown that fails', async () => {
    const teardown = (): void => assert.fail('no way out')
    const definition = defineTask({ setup: () => teardown, run: () => {} })
    assert.deepEqual(await wrong(definition, { valid: [undefined], invalid: [] }), [
      'its teardown fails: ERR_ASSERTION: no way out',
    ])
  })

  it('all of it at once', async () => {
    const definition = defineTask({ setup: () => () => assert.fail('no'), run: () => new Date() })
    const found = await wrong(definition, { valid: [1, 2], invalid: [3] })
    assert.equal(found.length, 4)
  })

  it('nothing to try', async () => {
    assert.deepEqual(await wrong(defineTask({ run: () => {} }), { valid: [], invalid: [] }), [
      'valid is empty: with no input that it takes nothing can be tried',
    ])
  })
})
