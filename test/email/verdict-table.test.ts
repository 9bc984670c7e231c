/** The table of verdicts in docs/mail.md is made of VERDICTS: `DOCS=write npx vitest run test/email/verdict-table.test.ts`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { VERDICTS } from '../../src/email/verdict.js'

const page = fileURLToPath(new URL('../../docs/mail.md', import.meta.url))
const BETWEEN = /(?<=<!-- verdicts:begin -->\n)[\s\S]*?(?=<!-- verdicts:end -->)/

/** Codes of Nodemailer and Node that a rule may name; any others are not shown. */
const CODES =
  `EAUTH ENOAUTH EOAUTH2 ECONFIG EPROXY ETLS ECONNECTION ESOCKET ETIMEDOUT EPROTOCOL EABORT EDNS EENVELOPE EMESSAGE
  EMAXRECIPIENTS EMAXLIMIT ECONNRESET EPIPE UND_ERR_SOCKET EFILEACCESS EURLACCESS EFETCH EREQUIRETLS EOTP ESTREAM ESENDMAIL ESES CERT_HAS_EXPIRED
  DEPTH_ZERO_SELF_SIGNED_CERT UNABLE_TO_VERIFY_LEAF_SIGNATURE ERR_TLS_CERT_ALTNAME_INVALID EPROTO`.split(/\s+/)

type Rule = (typeof VERDICTS)[number]

const all = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

function repliesOf(matches: (reply: number) => boolean): string {
  const found = all(400, 599).filter(matches)
  if (found.join() === all(400, 499).join()) return '4yz'
  if (found.join() === all(500, 599).join()) return '5yz'
  return found.length === 200 ? '4yz, 5yz' : found.join(', ')
}

function saidOf({ replies, silent, unsaid, codes, enhancedCodes }: Rule): string {
  const parts = [
    replies && repliesOf(replies),
    enhancedCodes && `with ${enhancedCodes.join(', ')}`,
    silent && 'no reply that SMTP knows',
    unsaid && 'no reply',
    codes &&
      CODES.filter(codes)
        .map((code) => `\`${code}\``)
        .join(', '),
  ]
  return parts.filter(Boolean).join('; ') || 'anything'
}

function stageOf({ stages }: Rule): string {
  return stages?.map((stage) => (stage === undefined ? 'not watched' : `\`${stage}\``)).join(', ') ?? 'any'
}

function table(): string {
  const rows = VERDICTS.map(
    (rule) => `| ${stageOf(rule)} | ${saidOf(rule)} | \`${rule.verdict}\` | ${rule.source.replace(/\|/g, '\\|')} |`,
  )
  return ['| stage | what was said, or the code | verdict | source |', '|---|---|---|---|', ...rows, ''].join('\n')
}

it('the verdicts in docs/mail.md are those of the code', () => {
  const text = readFileSync(page, 'utf8')
  if (process.env['DOCS'] === 'write')
    writeFileSync(
      page,
      text.replace(BETWEEN, () => table()),
    )
  else expect(BETWEEN.exec(text)?.[0]).toBe(table())
})
