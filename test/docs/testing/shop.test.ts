import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type BackgroundRunner, defineTask } from 'background-runner'
import { type EmailTransport, emailTask } from 'background-runner/email'
import { createTestRunner, taskConformance, testTransport } from 'background-runner/testing'
import express, { type Express } from 'express'
import { expect, it } from 'vitest'
import { z } from 'zod'

// The app: its task types, and a route that submits.

type Bank = (order: number, cents: number) => Promise<void>

const createTasks = (bank: Bank, transport: EmailTransport) => ({
  charge: defineTask({
    input: z.object({ order: z.number(), cents: z.number().int().positive() }),
    retry: { attempts: 3, backoff: { type: 'fixed', delay: '1h' } },
    run: ({ order, cents }) => bank(order, cents),
  }),
  email: emailTask({ transport, from: 'Shop <shop@example.com>' }),
})

function createApp(runner: BackgroundRunner<ReturnType<typeof createTasks>>): Express {
  return express().post('/orders/:order', express.json(), async (request, response) => {
    const order = Number(request.params.order)
    const { cents, to } = request.body
    const { id } = await runner.submit('charge', { order, cents })
    await runner.submit('email', { to, subject: `Your order ${order}`, text: `We charge you ${cents} cents.` })
    response.status(202).json({ id })
  })
}

// Its tests.

/** A bank that is down so many times, and no mail server. */
function shop({ downs = 0 } = {}) {
  const bank: Bank = async () => {
    if (downs-- > 0) throw Object.assign(new Error('the bank is down'), { code: 'BANK_DOWN' })
  }
  const transport = testTransport()
  const tasks = createTasks(bank, transport)
  return { ...createTestRunner({ tasks }), tasks, outbox: transport.outbox }
}

it('answers an order before anything is done', async () => {
  const { runner, assertSubmitted, drain, assertSucceeded, outbox } = shop()
  const server = createApp(runner).listen(0)
  await once(server, 'listening')
  const response = await fetch(`http://localhost:${(server.address() as AddressInfo).port}/orders/7`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ cents: 1250, to: 'ada@example.com' }),
  })
  server.close()
  expect(response.status).toBe(202)
  assertSubmitted('charge', { order: 7 }, { count: 1 }) // nothing runs by itself
  outbox.refuteEmailSent()
  await drain() // what is due runs, and the clock stands still
  assertSucceeded('charge', { order: 7, cents: (value) => value > 0 })
  outbox.assertEmailSent({ to: 'ada@example.com', subject: /order 7/, text: 'We charge you 1250 cents.' })
})

it('charges although the bank is down for an hour', async () => {
  const { runner, clock, assertSucceeded } = shop({ downs: 1 })
  await runner.submit('charge', { order: 7, cents: 1250 })
  await clock.advance('1h') // takes some ms
  expect(assertSucceeded('charge')[0]?.attempt).toBe(2)
})

it('sends again what a mail server put off', async () => {
  const { runner, clock, outbox } = shop()
  outbox.refuse('ada@example.com', 451, { times: 2 })
  await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
  await clock.advance('10m')
  outbox.assertEmailSent({ to: 'ada@example.com' }, { count: 1 })
})

it('has a good task type', async () => {
  const { charge } = shop().tasks
  await taskConformance(charge, { valid: [{ order: 7, cents: 1250 }], invalid: [{ order: 7, cents: -1 }, null] })
})
