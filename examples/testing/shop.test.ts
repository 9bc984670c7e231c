/** The tests of a small shop. This one file runs under vitest (with its globals), Jest and node:test. */
import assert from 'node:assert/strict'
import * as nodeTest from 'node:test'
import { type BackgroundRunner, defineTask } from 'background-runner'
import { type EmailTransport, emailTask } from 'background-runner/email'
import { createTestRunner, taskConformance, testTransport } from 'background-runner/testing'
import { z } from 'zod'

const { describe, it }: typeof nodeTest = 'describe' in globalThis ? (globalThis as never) : nodeTest

// The app: its task types, and what its route does.

type Tasks = ReturnType<typeof createTasks>
type Bank = (order: number, cents: number) => Promise<void>

const createTasks = (bank: Bank, transport: EmailTransport) => ({
  charge: defineTask({
    input: z.object({ order: z.number(), cents: z.number().int().positive() }),
    retry: { attempts: 3, backoff: { type: 'fixed', delay: '1h' } },
    run: ({ order, cents }) => bank(order, cents),
  }),
  email: emailTask({ transport, from: 'Shop <shop@example.com>' }),
})

async function placeOrder(runner: BackgroundRunner<Tasks>, order: number, cents: number, to: string): Promise<void> {
  await runner.submit('charge', { order, cents })
  await runner.submit('email', { to, subject: `Your order ${order}`, text: `We charge you ${cents / 100} €.` })
}

// Its tests.

function shop({ downs = 0 } = {}) {
  const bank: Bank = async () => {
    if (downs-- > 0) throw Object.assign(new Error('the bank is down'), { code: 'BANK_DOWN' })
  }
  const transport = testTransport()
  const tasks = createTasks(bank, transport)
  return { ...createTestRunner({ tasks }), tasks, outbox: transport.outbox }
}

describe('an order', () => {
  it('is answered at once, then charged and confirmed by mail', async () => {
    const { runner, drain, assertSubmitted, assertSucceeded, outbox } = shop()
    await placeOrder(runner, 7, 1250, 'ada@example.com')
    assertSubmitted('charge', { order: 7, cents: 1250 })
    outbox.refuteEmailSent()
    await drain()
    assertSucceeded('charge')
    outbox.assertEmailSent({ to: 'ada@example.com', subject: 'Your order 7', text: /12\.5 €/ })
  })

  it('is confirmed later by a mail server that puts it off', async () => {
    const { runner, clock, outbox } = shop()
    outbox.refuse('ada@example.com', 451, { times: 2 })
    await placeOrder(runner, 7, 1250, 'ada@example.com')
    await clock.advance('10m')
    outbox.assertEmailSent({ to: 'ada@example.com' }, { count: 1 })
  })

  it('is charged although the bank is down for an hour', async () => {
    const { runner, clock, assertSucceeded } = shop({ downs: 1 })
    await placeOrder(runner, 7, 1250, 'ada@example.com')
    await clock.advance('1h')
    const [charge] = assertSucceeded('charge', { order: 7 })
    assert.equal(charge?.attempt, 2)
  })

  it('is not charged if the bank stays down', async () => {
    const { runner, clock, assertFailed } = shop({ downs: 3 })
    await placeOrder(runner, 7, 1250, 'ada@example.com')
    await clock.advance('1d')
    assertFailed('charge', { order: 7 }, { code: 'BANK_DOWN' })
  })
})

describe('the tasks', () => {
  it('behave as tasks should', async () => {
    const { charge, email } = shop().tasks
    await taskConformance(charge, { valid: [{ order: 7, cents: 1250 }], invalid: [{ order: 7, cents: -1 }, null] })
    const mail = { to: 'ada@example.com', subject: 'Hi', text: 'Hello' }
    await taskConformance(email, { valid: [mail], invalid: [{ ...mail, to: 'nobody' }] })
  })
})
