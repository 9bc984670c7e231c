/** The ways to mount a handler that the docs tell, each over a real socket. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Handler } from 'background-runner/http'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'

export interface Mount {
  readonly name: string
  /** What the handler has to be told of where it is. */
  readonly basePath: string
  readonly serve: (handler: Handler) => Server | Promise<Server>
}

/** Where all of them put it. */
export const AT = '/admin/tasks'

export const MOUNTS: readonly Mount[] = [
  {
    name: 'Hono, app.mount',
    basePath: '',
    serve: (handler) => {
      const app = new Hono()
      app.mount(AT, handler)
      return createServer(getRequestListener(app.fetch))
    },
  },
  {
    name: 'Hono, a route',
    basePath: AT,
    serve: (handler) => {
      const app = new Hono()
      app.all(`${AT}/*`, (c) => handler(c.req.raw))
      return createServer(getRequestListener(app.fetch))
    },
  },
  {
    name: 'Express',
    basePath: '',
    serve: (handler) => {
      const app = express()
      app.use(AT, getRequestListener(handler))
      return createServer(app)
    },
  },
  {
    name: 'Fastify',
    basePath: AT,
    serve: async (handler) => {
      const app = fastify()
      const listener = getRequestListener(handler)
      app.register(
        async (tasks) => {
          // The body is the handler's to read.
          tasks.removeAllContentTypeParsers()
          tasks.addContentTypeParser('*', (_request, _body, done) => done(null))
          tasks.all('/*', (request, reply) => {
            reply.hijack()
            void listener(request.raw, reply.raw)
          })
          tasks.all('', (request, reply) => {
            reply.hijack()
            void listener(request.raw, reply.raw)
          })
        },
        { prefix: AT },
      )
      await app.ready()
      return app.server
    },
  },
  {
    name: 'node:http',
    basePath: AT,
    serve: (handler) => createServer(getRequestListener(handler)),
  },
]

/** @returns the address of the routes, with no slash at its end */
export async function listening(
  server: Server,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}${AT}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
