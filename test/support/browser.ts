/**
 * A real browser for the tests of pages: Chromium as it is installed on the machine, without a window. Where there is
 * none, those tests are skipped aloud; under CI=true that is a failure.
 */
import { accessSync, constants } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PLACES = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** Where it is; undefined: there is none. @throws under CI=true */
export function findChromium(): string | undefined {
  const found = PLACES.find((path) => path !== undefined && isExecutable(path))
  if (found !== undefined) return found
  if (process.env['CI'] === 'true') throw new Error('there is no Chromium: apt-get install chromium, or set CHROMIUM')
  console.warn('SKIPPED: tests in a browser, since there is no Chromium (CHROMIUM, or /usr/bin/chromium)')
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export function launch(executablePath: string): Promise<Browser> {
  // Root has no sandbox; the pages are our own.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath, args: [...args, '--disable-dev-shm-usage'] })
}
