/** The shapes of what goes over HTTP: they check what comes in, and describe in the OpenAPI document what goes out. */
import { z } from 'zod'

const STATES = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled'] as const
const OUTCOMES = ['succeeded', 'retry', 'failed', 'cancelled', 'released', 'crashed'] as const

const ms = z.number().describe('epoch ms')
const value = z.unknown().describe('any JSON')

export const state: z.ZodEnum<{ [State in (typeof STATES)[number]]: State }> = z.enum(STATES)
export const duration: z.ZodType<number | string> = z
  .union([
    z.number().int().min(0),
    z.string().regex(/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/, "must be ms, or such as '30s', '5m', '2h'"),
  ])
  .describe("ms, or such as '500ms', '30s', '5m', '2h', '14d'")
/** As a query has it. */
export const durationText: z.ZodType<number | string> = z
  .string()
  .regex(/^\d{1,15}(?:ms|s|m|h|d)?$/, "must be ms, or such as '30s', '5m'")
  .transform((text) => (/^\d+$/.test(text) ? Number(text) : text))
  .meta({ description: "ms, or such as '30s'", type: 'string' })

const error = z.object({
  name: z.string(),
  message: z.string(),
  code: z.string().optional(),
  stack: z.string().optional(),
  cause: value.optional(),
  details: value.optional(),
})

const attempt = z.object({
  number: z.int(),
  startedAt: ms,
  finishedAt: ms.optional(),
  outcome: z.enum(OUTCOMES).optional(),
  timedOut: z.literal(true).optional(),
  error: error.optional(),
})

const told = {
  id: z.string(),
  name: z.string(),
  state,
  attempt: z.int().describe('executions so far'),
  maxAttempts: z.int(),
  priority: z.number(),
  progress: value.optional(),
  tags: z.array(z.string()).optional(),
  createdAt: ms,
  runAt: ms,
  startedAt: ms.optional(),
  finishedAt: ms.optional(),
  cancelRequestedAt: ms.optional(),
}

export const summary: z.ZodObject = z
  .object({ ...told, error: error.pick({ name: true, message: true, code: true }).optional() })
  .meta({ id: 'TaskSummary', description: 'A task without its payloads.' })

export const record: z.ZodObject = z
  .object({
    ...told,
    input: value.optional(),
    output: value.optional(),
    outputError: error.optional(),
    error: error.optional(),
    metadata: value.optional(),
    key: z.string().optional(),
    attempts: z.array(attempt),
  })
  .meta({ id: 'TaskRecord', description: 'The truth about a task. Redacted values are "[redacted]".' })

export const counts: z.ZodObject = z
  .object(Object.fromEntries(STATES.map((each) => [each, z.int()])))
  .meta({ id: 'Counts' })

export const hold: z.ZodObject = z
  .object({ name: z.string(), until: ms, error: error.pick({ name: true, message: true, code: true }) })
  .meta({ id: 'Hold', description: 'A name of which nothing starts until then.' })

export const explanation: z.ZodObject = z
  .object({ id: z.string(), name: z.string(), state, reasons: z.array(z.looseObject({ type: z.string() })) })
  .meta({ id: 'Explanation' })

export const schedule: z.ZodObject = z
  .object({
    id: z.string(),
    task: z.string(),
    input: value.optional(),
    cron: z.string().optional(),
    every: z.number().optional().describe('ms'),
    timezone: z.string().optional(),
    overlap: z.enum(['skip', 'queue']),
    next: ms,
    last: ms.optional(),
    lastTask: z.string().optional(),
  })
  .meta({ id: 'Schedule' })

export const problem: z.ZodObject = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    issues: z.array(z.object({ message: z.string(), path: z.array(z.union([z.string(), z.number()])) })).optional(),
  })
  .meta({ id: 'Problem', description: 'Problem details, RFC 9457.' })
