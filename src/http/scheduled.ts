/** The routes of schedules. */
import { z } from 'zod'
import type { ScheduleOptions } from '../index.js'
import { empty, json } from './answer.js'
import { Problem } from './problem.js'
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
      await unquoted(runner.schedule(id as string, defined(body) as ScheduleOptions), body, redact)
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
