/** The routes in Hono. Whatever a handler throws ends in `onError`. */
import type { HttpBindings } from '@hono/node-server'
import type { Handler } from 'background-runner/http'
import { Hono } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { errorAnswer, RequestError, readPicture, readStatus, taskStatus, WELCOME } from '../shared/answers.js'
import { readMail } from '../shared/mail-form.js'
import type { CaughtMail } from '../shared/smtp-catcher.js'
import type { Runner } from '../shared/tasks.js'

/**
 * @param outbox what the SMTP catcher received; without it there is no route for it
 * @param tasks the dashboard and its API; without it there is none
 */
export function createApp(
  runner: Runner,
  outbox?: readonly CaughtMail[],
  tasks?: Handler,
): Hono<{ Bindings: HttpBindings }> {
  // The path as it was sent: `Request` would resolve /task_status/%2e%2e to another route.
  const app = new Hono<{ Bindings: HttpBindings }>({
    getPath: (request, options) => options?.env?.incoming.url?.split('?', 1)[0] ?? new URL(request.url).pathname,
  })

  app.get('/', (c) => c.text(WELCOME))

  app.post('/send_email', async (c) => {
    const mail = await readMail({
      stream: c.req.raw.body,
      contentType: c.req.header('content-type'),
      contentEncoding: c.req.header('content-encoding'),
    })
    const { id } = await runner.submit('email', mail)
    return c.json({ task_id: id }, 202, { Location: `/task_status/${id}` })
  })

  app.post('/render_picture', async (c) => {
    const { id } = await runner.submit('picture', { width: Number(c.req.query('width') ?? 900) })
    return c.json({ task_id: id }, 202, { Location: `/task_status/${id}` })
  })

  app.get('/picture/:task_id', async (c) => {
    const png = await readPicture(runner, c.req.param('task_id'))
    return c.body(png, 200, { 'Content-Type': 'image/png' })
  })

  app.get('/task_status/:task_id', async (c) => c.json(await readStatus(runner, c.req.param('task_id'))))

  app.post('/task_status/:task_id/cancel', async (c) => c.json(taskStatus(await runner.cancel(c.req.param('task_id')))))

  app.post('/task_status/:task_id/retry', async (c) => c.json(taskStatus(await runner.retry(c.req.param('task_id')))))

  if (outbox !== undefined) app.get('/outbox', (c) => c.json(outbox))

  if (tasks !== undefined) app.mount('/tasks', tasks)

  app.notFound(() => {
    throw new RequestError(404, 'not found')
  })

  app.onError((error, c) => {
    const { status, headers, body } = errorAnswer(error)
    return c.json(body, status as ContentfulStatusCode, headers)
  })
  return app
}
