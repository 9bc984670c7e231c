/** The routes in Express 5. An asynchronous handler that throws ends in the last middleware. */
import { getRequestListener } from '@hono/node-server'
import type { Handler } from 'background-runner/http'
import express, { type ErrorRequestHandler, type Express } from 'express'
import { errorAnswer, RequestError, readPicture, readStatus, taskStatus, WELCOME } from '../shared/answers.js'
import { readMail } from '../shared/mail-form.js'
import type { CaughtMail } from '../shared/smtp-catcher.js'
import type { Runner } from '../shared/tasks.js'

/**
 * @param outbox what the SMTP catcher received; without it there is no route for it
 * @param tasks the dashboard and its API; without it there is none
 */
export function createApp(runner: Runner, outbox?: readonly CaughtMail[], tasks?: Handler): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('strict routing')
  app.enable('case sensitive routing')

  app.get('/', (_request, response) => {
    response.type('text').send(WELCOME)
  })

  app.post('/send_email', async (request, response) => {
    const mail = await readMail({
      stream: request,
      contentType: request.get('content-type'),
      contentEncoding: request.get('content-encoding'),
    })
    const { id } = await runner.submit('email', mail)
    response.status(202).location(`/task_status/${id}`).json({ task_id: id })
  })

  app.post('/render_picture', async (request, response) => {
    const { id } = await runner.submit('picture', { width: Number(request.query['width'] ?? 900) })
    response.status(202).location(`/task_status/${id}`).json({ task_id: id })
  })

  app.get('/picture/:task_id', async (request, response) => {
    response.type('png').send(await readPicture(runner, request.params.task_id))
  })

  app.get('/task_status/:task_id', async (request, response) => {
    response.json(await readStatus(runner, request.params.task_id))
  })

  app.post('/task_status/:task_id/cancel', async (request, response) => {
    response.json(taskStatus(await runner.cancel(request.params.task_id)))
  })

  app.post('/task_status/:task_id/retry', async (request, response) => {
    response.json(taskStatus(await runner.retry(request.params.task_id)))
  })

  if (outbox !== undefined) {
    app.get('/outbox', (_request, response) => {
      response.json(outbox)
    })
  }

  if (tasks !== undefined) app.use('/tasks', getRequestListener(tasks))

  app.use(() => {
    throw new RequestError(404, 'not found')
  })

  // Express knows an error handler by its four parameters.
  const onError: ErrorRequestHandler = (error, _request, response, _next) => {
    const { status, headers, body } = errorAnswer(error)
    response.status(status).set(headers).json(body)
  }
  app.use(onError)
  return app
}
