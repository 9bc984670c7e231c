import { type Duration, defineTask, type Json } from 'background-runner'
import { createTestRunner, type OutcomeOf, runTask } from 'background-runner/testing'
import { expectTypeOf, it } from 'vitest'
import { z } from 'zod'

interface Mail {
  readonly to: string
  readonly cc?: readonly { readonly address: string }[]
  readonly size: number
  readonly kind: 'plain' | 'rich'
}

const t = createTestRunner({
  tasks: {
    email: defineTask({ run: (mail: Mail) => ({ id: mail.to }) }),
    dated: defineTask({ input: z.object({ at: z.coerce.date() }), run: () => 1 }),
    nothing: defineTask({ run: () => {} }),
    anything: defineTask({ run: (_: Json) => {} }),
  },
})

it('types the names', () => {
  t.assertSubmitted('email')
  // @ts-expect-error: no such task
  t.assertSubmitted('emial')
  // @ts-expect-error: no such task
  t.refuteSubmitted('emial')
  // @ts-expect-error: no such task
  t.submitted('emial')
})

it('types a matcher as a part of the input, deeply, with RegExps and predicates', () => {
  t.assertSubmitted(
    'email',
    { to: /x/, cc: [{ address: (text) => text.endsWith('x') }], size: (n) => n > 1 },
    { count: 1 },
  )
  t.assertSucceeded('email', ({ cc }) => cc === undefined)
  t.assertFailed('email', { cc: undefined, kind: 'plain' }, { code: 'X' })
  t.assertSubmitted('email', { cc: (all) => all?.length === 1 })
  t.assertSubmitted('nothing', undefined, { count: 2 })
  t.assertSubmitted('anything', { a: [1, /x/, (value) => value === 1] })
  // @ts-expect-error: no such field
  t.assertSubmitted('email', { too: 'x' })
  // @ts-expect-error: no RegExp for a number
  t.assertSubmitted('email', { size: /1/ })
  // @ts-expect-error: none of the kinds
  t.assertSubmitted('email', { kind: 'fancy' })
  // @ts-expect-error: a count is no code
  t.assertFailed('email', {}, { count: 1 })
})

it('types the records that are given', () => {
  const [email] = t.assertSucceeded('email')
  expectTypeOf(email?.input).toEqualTypeOf<Mail | undefined>()
  expectTypeOf(email?.output).toEqualTypeOf<{ id: string } | undefined>()
  expectTypeOf(t.submitted('nothing')[0]?.name).toEqualTypeOf<'nothing' | undefined>()
})

it('types the clock and the options', () => {
  expectTypeOf(t.clock.advance).parameter(0).toEqualTypeOf<Duration>()
  // @ts-expect-error: the harness gives the engine
  createTestRunner({ tasks: {}, engine: {} })
  // @ts-expect-error: no such mode
  createTestRunner({ tasks: {}, mode: 'automatic' })
})

it('types runTask by the definition', async () => {
  const email = defineTask({ run: (mail: Mail) => ({ id: mail.to }) })
  // @ts-expect-error: the input is missing
  void runTask(email)
  // @ts-expect-error: a wrong input
  void runTask(email, { to: 5 })
  const { outcome } = await runTask(email, { to: 'x', size: 1, kind: 'plain' }, { attempt: 2 })
  expectTypeOf(outcome).toEqualTypeOf<OutcomeOf<{ id: string }>>()
  if (outcome.type === 'succeeded') expectTypeOf(outcome.output).toEqualTypeOf<{ id: string }>()
  if (outcome.type === 'retry') expectTypeOf(outcome.runAt).toEqualTypeOf<number>()
})
