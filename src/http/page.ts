/** The files of the dashboard, as they were built: kept in a module, so that they are there however the package is bundled. */
import { respond } from './answer.js'
import { assets } from './assets.js'
import { Problem } from './problem.js'

/** All of it is our own and in files: nothing inline, nothing from elsewhere, in nobody's frame. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const PAGE = 'index.html'

export function pageResponse(): Response {
  return fileResponse(PAGE, {
    'Cache-Control': 'no-cache',
    'Content-Security-Policy': POLICY,
    'Referrer-Policy': 'no-referrer',
  })
}

/** @throws {Problem} there is no such file */
export function assetResponse(file: string): Response {
  if (file === PAGE || !Object.hasOwn(assets, file)) throw new Problem(404, 'NOT_FOUND', 'There is no such file.')
  // Its name has its content's hash in it; it is for those who may see the page.
  return fileResponse(file, { 'Cache-Control': 'private, max-age=31536000, immutable' })
}

function fileResponse(file: string, headers: Record<string, string>): Response {
  const { type, body } = assets[file] as { type: string; body: string }
  return respond(body, 200, { ...headers, 'Content-Type': type })
}
