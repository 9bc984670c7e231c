/** The OpenAPI 3.1 document, made from the table that requests are dispatched by. */
import { z } from 'zod'
import type { Answer, Route } from './route.js'
import { problem } from './schemas.js'

type JsonObject = Record<string, unknown>

/** What every route may answer. */
const ALWAYS: Readonly<Record<number, Answer>> = {
  400: { description: 'The query or the body is not as it must be.', schema: problem },
  401: { description: 'A token is needed.', schema: problem },
  403: { description: 'The caller may not do this.', schema: problem },
}

export function openApi(routes: readonly Route[]): JsonObject {
  const schemas: JsonObject = {}
  const paths: Record<string, JsonObject> = {}
  for (const each of routes) {
    const path = each.path.replace(/:(\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][each.method.toLowerCase()] = operation(each, schemas)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Background tasks',
      version: '1',
      description: 'Submit, see and steer background tasks. Errors are problem details (RFC 9457).',
    },
    // Where the document was found: the routes are beside it.
    servers: [{ url: '.' }],
    paths,
    components: { schemas },
  }
}

function operation(
  { method, path, right, summary, query, body, headers = {}, answers }: Route,
  schemas: JsonObject,
): JsonObject {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...shape } = shapeOf(schema as z.ZodType, schemas, 'input')
    return { name, in: 'query', required: false, schema: shape, ...(description !== undefined && { description }) }
  })
  const inHeaders = Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }))
  const parameters = [...inPath, ...inQuery, ...inHeaders]
  return {
    operationId: `${method.toLowerCase()}${path.replace(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    description: `Needs the right \`${right}\`.`,
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { content: { 'application/json': { schema: shapeOf(body, schemas, 'input') } } },
    }),
    responses: Object.fromEntries(
      Object.entries({ ...answers, ...ALWAYS }).map(([status, answer]) => [status, response(answer, schemas)]),
    ),
  }
}

function response({ description, schema, type }: Answer, schemas: JsonObject): JsonObject {
  if (schema === undefined) return type === undefined ? { description } : { description, content: { [type]: {} } }
  const name = schema === problem ? 'application/problem+json' : 'application/json'
  return { description, content: { [name]: { schema: shapeOf(schema, schemas, 'output') } } }
}

/** A schema as JSON Schema; those with an id stand among the components. */
function shapeOf(schema: z.ZodType, schemas: JsonObject, io: 'input' | 'output'): JsonObject {
  const {
    $schema: _,
    $defs = {},
    ...shape
  } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    target: 'draft-2020-12',
  }) as JsonObject & { $defs?: JsonObject }
  const { id } = shape
  const moved = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'))
  for (const [name, each] of Object.entries($defs)) {
    const { id: _id, ...rest } = moved(each) as JsonObject
    schemas[name] = rest
  }
  if (typeof id !== 'string') return moved(shape) as JsonObject
  const { id: _id, ...rest } = moved(shape) as JsonObject
  schemas[id] = rest
  return { $ref: `#/components/schemas/${id}` }
}
