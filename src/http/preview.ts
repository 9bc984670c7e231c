/**
 * The HTML part of a mail as a page of its own. It comes from a stranger: its policy lets no script run, nothing be
 * fetched and no form be sent, in a frame as well as opened by itself.
 */
import type { TaskRecord } from '../index.js'
import { respond } from './answer.js'
import { Problem } from './problem.js'

/** Styles are a mail's own; pictures only those that it carries. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"

/** Elements for which a browser opens a connection before it asks the policy whether it may fetch. */
const REACHING = /<(?=(?:i?frame|link)\b)/gi

/** @param task redacted */
export function previewOf({ input }: TaskRecord): Response {
  const html = (input as { readonly html?: unknown } | null | undefined)?.html
  if (typeof html !== 'string') throw new Problem(404, 'NO_PREVIEW', 'The task has no HTML to show.')
  // Renamed they are elements that mean nothing.
  return respond(html.replace(REACHING, '<no-'), 200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': POLICY,
    'X-Frame-Options': 'SAMEORIGIN',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
  })
}
