/** The same route of `createHandler`: rights, redaction, ETag and the headers of security included. */

import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { http } from '../library.mjs'
import { filledRunner } from '../records.mjs'

const { createHandler } = await import(http)
const { runner, ids } = await filledRunner()
const handler = createHandler(runner, { authorize: () => ['read'] })
const server = createServer(getRequestListener(handler)).listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}/tasks/${ids[0]}`),
)
