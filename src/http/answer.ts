/** How an answer is made: each with the headers that keep a browser from doing more with it than to show it. */

/** Of what every answer says; a page or a frame may say otherwise. Few, since each costs a status route some percent. */
const SAFE: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
}
export const JSON_HEADERS: Readonly<Record<string, string>> = {
  ...SAFE,
  'Content-Type': 'application/json',
  'Cache-Control': 'no-store',
}

/** All of its headers at once: to add one later would cost as much as to make it. */
export function respond(
  body: string | ReadableStream<Uint8Array> | null,
  status: number,
  headers: Readonly<Record<string, string>>,
): Response {
  return new Response(body, { status, headers: { ...SAFE, ...headers } })
}

export function json(value: unknown, status = 200, headers?: Readonly<Record<string, string>>): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: headers === undefined ? JSON_HEADERS : { ...JSON_HEADERS, ...headers },
  })
}

/** Done, and there is nothing to say. */
export function empty(): Response {
  return respond(null, 204, { 'Cache-Control': 'no-store' })
}
