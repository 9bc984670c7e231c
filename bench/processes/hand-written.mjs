/**
 * What one writes by hand for the same route: Express, p-queue and pooled Nodemailer, written well. An id, a status, as
 * many connections as slots. No retry, no limit of what waits, no cancel, no drain on SIGTERM, nothing is ever forgotten.
 */
import { randomUUID } from 'node:crypto'
import express from 'express'
import { createTransport } from 'nodemailer'
import PQueue from 'p-queue'

const ADDRESS = /^[^\s@<>(),;:"\\[\]]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i
const ONE_LINE = /^\P{Cc}*$/u

const { hostname, port } = new URL(process.env.SMTP_URL)
const transporter = createTransport({
  host: hostname,
  port: Number(port),
  pool: true,
  maxConnections: 10,
  maxRequeues: 0,
})
const queue = new PQueue({ concurrency: 10 })
const tasks = new Map()

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.use(express.urlencoded({ extended: false }))

app.post('/send_email', (request, response) => {
  const { recipient, subject, content } = request.body
  if (typeof recipient !== 'string' || recipient.length > 254 || !ADDRESS.test(recipient))
    return response.status(400).json({ error: 'recipient' })
  if (typeof subject !== 'string' || !ONE_LINE.test(subject)) return response.status(400).json({ error: 'subject' })
  if (typeof content !== 'string') return response.status(400).json({ error: 'content' })

  const id = randomUUID()
  const task = { status: 'queued', error: undefined }
  tasks.set(id, task)
  queue.add(async () => {
    task.status = 'running'
    try {
      await transporter.sendMail({ from: 'noreply@example.com', to: recipient, subject, text: content })
      task.status = 'succeeded'
    } catch (error) {
      task.status = 'failed'
      task.error = error.message
      console.error(`mail ${id} failed: ${error.message}`)
    }
  })
  response.status(202).location(`/task_status/${id}`).json({ task_id: id })
})

app.get('/task_status/:task_id', (request, response) => {
  const task = tasks.get(request.params.task_id)
  if (task === undefined) response.status(404).json({ error: 'there is no such task' })
  else response.json({ task_id: request.params.task_id, ...task })
})

const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
