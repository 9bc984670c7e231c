/** The routes of the whole: counts, holds, pause, what is done to many tasks at once, and what the dashboard opens with. */
import { z } from 'zod'
import type { BackgroundRunner, Clock, ListOptions, TaskRecord } from '../index.js'
import { empty, json } from './answer.js'
import type { Live } from './live.js'
import { type Route, route } from './route.js'
import { counts, hold, state } from './schemas.js'
import type { Statistics } from './statistics.js'
import { defined } from './tasks.js'
import { holdView } from './view.js'

/** Names, and tags, of one filter. */
const MOST_LISTED = 1_000

const bulk = {
  states: z.array(state).optional(),
  names: z.array(z.string()).max(MOST_LISTED).optional(),
  tags: z.array(z.string()).max(MOST_LISTED).optional().describe('those that have all of them'),
  limit: z.int().min(1).max(10_000).default(1_000),
}
const BULK = {
  200: {
    description:
      'How many were changed; how many were passed over, since they had gone on meanwhile; whether there are more.',
    schema: z.object({ changed: z.int(), skipped: z.int(), more: z.boolean() }),
  },
}
const DONE = { 204: { description: 'Done.' } }

export function queueRoutes(live: Live, statistics: Statistics, pausing: Pausing): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/counts',
      right: 'read',
      summary: 'How many tasks are in each state.',
      answers: { 200: { description: 'The counts.', schema: counts } },
      run: async ({ site: { runner } }) => json(await runner.counts()),
    }),
    route({
      method: 'GET',
      path: '/holds',
      right: 'read',
      summary: 'The names that are held now.',
      answers: { 200: { description: 'The holds.', schema: z.object({ holds: z.array(hold) }) } },
      run: async ({ site: { runner, redact } }) =>
        json({ holds: (await runner.holds()).map((each) => holdView(each, redact)) }),
    }),
    route({
      method: 'GET',
      path: '/overview',
      right: 'read',
      summary: 'What the dashboard opens with.',
      answers: {
        200: {
          description: '`paused` is null where it cannot be told.',
          schema: z.object({
            now: z.number(),
            can: z.array(z.enum(['read', 'submit', 'manage'])),
            submit: z.array(z.string()),
            counts,
            holds: z.array(hold),
            paused: z.boolean().nullable(),
            readers: z.int(),
          }),
        },
      },
      run: async ({ site: { runner, redact, options }, rights }) => {
        const [all, holds, paused] = await Promise.all([runner.counts(), runner.holds(), pausing.look(runner)])
        return json({
          now: statistics.now(),
          can: [...rights],
          submit: rights.has('submit') ? [...options.submit] : [],
          counts: all,
          holds: holds.map((each) => holdView(each, redact)),
          paused,
          readers: live.readers,
        })
      },
    }),
    route({
      method: 'GET',
      path: '/stats',
      right: 'read',
      summary: 'What ended over time, and how long it took, as seen by this process since it began.',
      query: z.strictObject({ range: z.enum(['minutes', 'hour', 'day']).default('hour') }),
      answers: {
        200: {
          description: 'One point a bucket, oldest first; times in ms.',
          schema: z.looseObject({ points: z.array(z.looseObject({})) }),
        },
      },
      run: ({ query: { range } }) => json(statistics.read(range)),
    }),
    route({
      method: 'POST',
      path: '/pause',
      right: 'manage',
      summary: 'No attempt starts until it is resumed; what runs goes on.',
      answers: DONE,
      run: async ({ site: { runner } }) => {
        await runner.pause()
        pausing.set(true)
        return empty()
      },
    }),
    route({
      method: 'POST',
      path: '/resume',
      right: 'manage',
      summary: 'Ends the pause.',
      answers: DONE,
      run: async ({ site: { runner } }) => {
        await runner.resume()
        pausing.set(false)
        return empty()
      },
    }),
    route({
      method: 'POST',
      path: '/cancel',
      right: 'manage',
      summary: 'Cancels the tasks that match.',
      body: z.strictObject({ ...bulk, states: bulk.states.default(['queued', 'scheduled', 'running']) }),
      answers: BULK,
      run: async ({ site: { runner }, body: { limit, ...match } }) =>
        json(await eachOf(runner, defined(match), limit, ({ id }) => runner.cancel(id))),
    }),
    route({
      method: 'POST',
      path: '/retry',
      right: 'manage',
      summary: 'Retries the tasks that match.',
      body: z.strictObject({ ...bulk, states: bulk.states.default(['failed']) }),
      answers: BULK,
      run: async ({ site: { runner }, body: { limit, ...match } }) =>
        json(await eachOf(runner, defined(match), limit, ({ id }) => runner.retry(id))),
    }),
    route({
      method: 'GET',
      path: '/events',
      right: 'read',
      summary:
        'What changes, as server-sent events: `task`, `removed`, `counts`, `reset` (more has changed than is told).',
      query: z.strictObject({
        task: z.array(z.string()).max(100).optional().describe('only these, each with its whole record'),
      }),
      headers: { 'Last-Event-ID': 'The last event that was seen: the stream goes on after it.' },
      answers: {
        200: { description: 'The stream.', type: 'text/event-stream' },
        503: { description: 'There are too many readers.' },
      },
      run: ({ request, query: { task } }) => live.open(request, task),
    }),
  ]
}

/** Done at the same time, at most. */
const SIDE_BY_SIDE = 50

/** Calls a verb for each task that matches, page by page. One that has gone on meanwhile is passed over. */
async function eachOf(
  runner: BackgroundRunner,
  match: ListOptions,
  limit: number,
  verb: (task: TaskRecord) => Promise<unknown>,
): Promise<{ changed: number; skipped: number; more: boolean }> {
  let changed = 0
  let skipped = 0
  let cursor: string | undefined
  do {
    const size = Math.min(SIDE_BY_SIDE, limit - changed - skipped)
    const page = await runner.list({ ...match, limit: size, ...(cursor !== undefined && { cursor }) })
    const results = await Promise.allSettled(page.tasks.map(verb))
    for (const result of results) {
      if (result.status === 'fulfilled') changed++
      else if (isPassedOver(result.reason)) skipped++
      else throw result.reason
    }
    cursor = page.next
  } while (cursor !== undefined && changed + skipped < limit)
  return { changed, skipped, more: cursor !== undefined }
}

function isPassedOver(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === 'INVALID_STATE' || code === 'TASK_NOT_FOUND'
}

/** For so long it is believed, ms: to ask costs a look into the backlog. */
const BELIEVED = 2_000

/** Whether the runner is paused: another process may have done it. What waits can be asked, where anything does. */
export class Pausing {
  readonly #clock: Clock
  #known: boolean | null = null
  /** When it was last seen to be so, epoch ms. */
  #seenAt = 0
  #until = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  set(paused: boolean): void {
    this.#known = paused
    this.#seenAt = this.#clock.now()
    this.#believe()
  }

  #believe(): void {
    this.#until = this.#clock.monotonic() + BELIEVED
  }

  async look(runner: BackgroundRunner): Promise<boolean | null> {
    if (this.#clock.monotonic() < this.#until) return this.#known
    this.#believe()
    try {
      const { tasks } = await runner.list({ states: ['queued'], limit: 1 })
      if (tasks[0] === undefined) {
        // Nothing waits that could be asked. What has begun since was let through: it goes on again.
        if (this.#known === true && (await this.#hasBegun(runner))) this.set(false)
        return this.#known
      }
      const { state, reasons } = await runner.explain(tasks[0].id)
      if (state === 'queued') this.set(reasons.some(({ type }) => type === 'paused'))
    } catch (error) {
      if ((error as { code?: unknown }).code === 'RUNNER_CLOSED') throw error
      // An engine need not be able to tell; the task may have gone on.
    }
    return this.#known
  }

  async #hasBegun(runner: BackgroundRunner): Promise<boolean> {
    const { tasks } = await runner.list({ limit: 1 })
    return (tasks[0]?.startedAt ?? 0) > this.#seenAt
  }
}
