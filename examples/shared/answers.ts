/** What the routes answer, the same from Express and from Hono: the status of a task, and what an error becomes. */
import {
  type BackgroundRunnerError,
  type InvalidInputError,
  type Json,
  TaskNotFoundError,
  type TaskRecord,
} from 'background-runner'
import type { Runner } from './tasks.js'

export const WELCOME: string =
  'Welcome! POST recipient, subject and content to /send_email, or POST to /render_picture?width=900 and see it at ' +
  '/picture/<task_id>; ask GET /task_status/<task_id> what became of it.\n'

export interface TaskStatus {
  readonly task_id: string
  readonly status: TaskRecord['state']
  readonly attempt: number
  readonly progress?: Json
  /** Why it failed, or why it is tried again. */
  readonly error?: { readonly code?: string; readonly message: string }
}

/** Not the record itself: that holds the mail, and stack traces. */
export function taskStatus({ id, state, attempt, progress, error }: TaskRecord): TaskStatus {
  const status = { task_id: id, status: state, attempt, ...(progress !== undefined && { progress }) }
  if (error === undefined) return status
  const { code, message } = error
  return { ...status, error: code === undefined ? { message } : { code, message } }
}

/** @throws {TaskNotFoundError} an unknown id has no status, not even "pending" */
export async function readStatus(runner: Runner, id: string): Promise<TaskStatus> {
  const record = await runner.status(id)
  if (record === undefined) throw new TaskNotFoundError(id)
  return taskStatus(record)
}

/** @throws {RequestError} nothing was rendered under this id, or not yet */
export async function readPicture(runner: Runner, id: string): Promise<Buffer<ArrayBuffer>> {
  const record = await runner.status(id)
  if (record?.name !== 'picture' || record.state !== 'succeeded')
    throw new RequestError(404, 'there is no such picture')
  return Buffer.from(record.output as string, 'base64')
}

/** A request that cannot be served as it is. */
export class RequestError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export interface ErrorAnswer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: { readonly error: string; readonly fields?: Record<string, string> }
}

/** Errors are told apart by their `code`; what is not known here is our own fault, and its details stay in the log. */
export function errorAnswer(thrown: unknown): ErrorAnswer {
  const answer = (status: number, error: string, headers: Record<string, string> = {}): ErrorAnswer => ({
    status,
    headers,
    body: { error },
  })
  switch ((thrown as Partial<BackgroundRunnerError>).code) {
    case 'INVALID_INPUT':
      return invalidInput((thrown as InvalidInputError).issues)
    case 'TASK_NOT_FOUND':
      return answer(404, 'there is no such task')
    case 'INVALID_STATE':
      return answer(409, (thrown as Error).message)
    case 'QUEUE_FULL':
      return answer(503, 'too many tasks are waiting, try again later', { 'Retry-After': '5' })
    // The disk is full, say; work goes on by itself once the fault is gone.
    case 'ENGINE_ERROR':
      console.error(thrown)
      return answer(503, 'tasks cannot be kept at the moment, try again later', { 'Retry-After': '5' })
    case 'RUNNER_CLOSED':
      return answer(503, 'the server is shutting down')
    // The client hung up while it sent the body: nobody reads this.
    case 'ECONNRESET':
      return answer(400, 'the request broke off')
  }
  if (thrown instanceof RequestError) return answer(thrown.status, thrown.message)
  // An address that cannot be decoded, such as /task_status/%zz, is no task's.
  if (thrown instanceof URIError) return answer(404, 'not found')
  console.error(thrown)
  return answer(500, 'internal error')
}

/** The tasks' fields under the names that they have in the request. */
const FORM_FIELDS: Readonly<Record<string, string>> = {
  to: 'recipient',
  subject: 'subject',
  text: 'content',
  width: 'width',
}

function invalidInput(issues: InvalidInputError['issues']): ErrorAnswer {
  const fields: Record<string, string> = {}
  for (const { path, message } of issues) {
    // "text or html is required": a form without html asks for less.
    fields[FORM_FIELDS[String(path[0])] ?? 'body'] ??= /required|got undefined/.test(message) ? 'is required' : message
  }
  return { status: 400, headers: {}, body: { error: 'invalid input', fields } }
}
