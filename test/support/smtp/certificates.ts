/**
 * Certificates that sign themselves, all of one key. They were made with `openssl ca -selfsign -startdate … -enddate …`;
 * the key opens nothing but the tests' own server.
 */
import { readFileSync } from 'node:fs'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

const read = (name: string): string =>
  readFileSync(new URL(`../../fixtures/certificates/${name}.pem`, import.meta.url), 'utf8')

const key: string = read('key')

/** For 127.0.0.1, until 2126; trusted by whoever gets it as `ca`. */
export const GOOD: Certificate = { key, cert: read('good') }
/** In 2001. */
export const EXPIRED: Certificate = { key, cert: read('expired') }
/** For mail.example. */
export const OTHER_HOST: Certificate = { key, cert: read('other-host') }
