/** The Hono example: node --import tsx examples/hono/main.ts */
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { start } from '../shared/start.js'
import { createApp } from './app.js'

await start((runner, outbox, tasks) => createServer(getRequestListener(createApp(runner, outbox, tasks).fetch)))
