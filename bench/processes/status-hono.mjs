/** What Hono itself costs: the record of a task from a Map, as JSON. */

import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { records } from '../records.mjs'

const tasks = new Map((await records()).map((record) => [record.id, record]))
const app = new Hono()
app.get('/tasks/:id', (c) => {
  const record = tasks.get(c.req.param('id'))
  return record === undefined ? c.json({ status: 404 }, 404) : c.json(record)
})
const server = createServer(getRequestListener(app.fetch)).listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}/tasks/${[...tasks.keys()][0]}`),
)
