import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask } from 'background-runner'
import { createHandler } from 'background-runner/http'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'

const runner = new BackgroundRunner({
  tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) },
})
const listener = getRequestListener(createHandler(runner, { authorize: () => ['read'], basePath: '/tasks' }))
const toTasks = (request: FastifyRequest, reply: FastifyReply): void => {
  reply.hijack()
  void listener(request.raw, reply.raw)
}
const app = fastify()
app.register(async (scope) => {
  // The body is the handler's to read.
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, _body, done) => done(null))
  scope.all('/tasks', toTasks)
  scope.all('/tasks/*', toTasks)
})

const url = await app.listen({ port: 0, host: '127.0.0.1' })
console.log((await fetch(`${url}/tasks/counts`)).status)
await app.close()
await runner.close()
