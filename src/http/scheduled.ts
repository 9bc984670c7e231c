/** The routes of schedules. */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { BackgroundRunner, ScheduleOptions } from '../index.js'
import { empty, json } from './answer.js'
import { Problem } from './problem.js'
import { HIDDEN, type Redact } from './redact.js'
import { type Route, route } from './route.js'
import { duration, problem, schedule } from './schemas.js'
import { defined } from './tasks.js'
import { unquoted } from './view.js'

const UNSUPPORTED = { 501: { description: 'The engine keeps no schedules.', schema: problem } }

export const scheduleRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/schedules',
    right: 'read',
    summary: 'The schedules, by id.',
    answers: {
      200: { description: 'All of them.', schema: z.object({ schedules: z.array(schedule) }) },
      ...UNSUPPORTED,
    },
    run: async ({ site: { runner, redact } }) =>
      json({ schedules: (await runner.schedules()).map((each) => redact(each)) }),
  }),
  route({
    method: 'PUT',
    path: '/schedules/:id',
    right: 'manage',
    summary: 'Makes a schedule, or changes it. Only for names that the app has opened.',
    body: z.strictObject({
      task: z.string(),
      input: z.unknown().optional(),
      cron: z.string().optional(),
      every: duration.optional(),
      timezone: z.string().optional(),
      overlap: z.enum(['skip', 'queue']).optional(),
    }),
    answers: {
      204: { description: 'It is kept.' },
      404: { description: 'No task of this name may be submitted here.', schema: problem },
      422: { description: 'The pattern, the span or the input is not as it must be.', schema: problem },
      ...UNSUPPORTED,
    },
    run: async ({ site: { runner, options, redact }, params: { id }, body }) => {
      if (!options.submit.has(body.task))
        throw new Problem(404, 'UNKNOWN_TASK', 'No task of this name may be submitted here.')
      const input = await inputOf(runner, redact, id as string, body)
      await unquoted(runner.schedule(id as string, defined({ ...body, input }) as ScheduleOptions), body, redact)
      return empty()
    },
  }),
  route({
    method: 'DELETE',
    path: '/schedules/:id',
    right: 'manage',
    summary: 'Ends a schedule; what it has submitted goes on.',
    answers: {
      204: { description: 'It is gone.' },
      404: { description: 'There is no such schedule.', schema: problem },
      ...UNSUPPORTED,
    },
    run: async ({ site: { runner }, params: { id } }) => {
      if (!(await runner.unschedule(id as string)))
        throw new Problem(404, 'SCHEDULE_NOT_FOUND', 'There is no schedule of this id.')
      return empty()
    },
  }),
]

/**
 * The input of a schedule. Whoever changes something else of it sends the input back as it was shown: what is hidden in it
 * stays as it is.
 *
 * @throws {Problem} 422: it was changed, and what was hidden is not known
 */
async function inputOf(
  runner: BackgroundRunner,
  redact: Redact,
  id: string,
  { task, input }: { readonly task: string; readonly input?: unknown },
): Promise<unknown> {
  if (!hasHidden(input)) return input
  const kept = (await runner.schedules()).find((each) => each.id === id && each.task === task)
  if (kept !== undefined && isDeepStrictEqual(redact(kept).input, input)) return kept.input
  throw new Problem(
    422,
    'INVALID_INPUT',
    `The input has "${HIDDEN}" in place of what is shown to nobody: that has to be written anew.`,
  )
}

/** However deep it is: nobody has looked at it yet. */
function hasHidden(value: unknown): boolean {
  const rest = [value]
  while (rest.length > 0) {
    const each = rest.pop()
    if (each === HIDDEN) return true
    if (typeof each === 'object' && each !== null) for (const child of Object.values(each)) rest.push(child)
  }
  return false
}
