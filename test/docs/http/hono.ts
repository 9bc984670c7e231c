import { BackgroundRunner, defineTask, type TaskRecord } from 'background-runner'
import { accessToken, createHandler } from 'background-runner/http'
import { Hono } from 'hono'

const runner = new BackgroundRunner({
  tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) },
})
const tasks = createHandler(runner, {
  authorize: accessToken(process.env['TASKS_TOKEN'] ?? 's3cret'),
  submit: ['greet'], // the names that may be submitted over HTTP
})
const app = new Hono()
app.mount('/tasks', tasks)

// What a client does:
const headers = { Authorization: 'Bearer s3cret', 'Content-Type': 'application/json' }
const accepted = await app.request('/tasks/tasks/greet', { method: 'POST', headers, body: '"Ada"' })
const location = new URL(accepted.headers.get('Location') ?? '', 'http://localhost/tasks/tasks/greet')
const record = await app.request(`${location.pathname}?wait=10s`, { headers })
const { state, output } = (await record.json()) as TaskRecord
console.log(accepted.status, state, output)
await runner.close()
