/** The Express example: node --import tsx examples/express/main.ts */
import { createServer } from 'node:http'
import { start } from '../shared/start.js'
import { createApp } from './app.js'

await start((runner, outbox, tasks) => createServer(createApp(runner, outbox, tasks)))
