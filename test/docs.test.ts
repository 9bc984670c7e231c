/** What the pages in docs/ show is true: their programs, and the links between them and the README. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { root, runAlone, runHere, testSnippets } from './support/snippets.js'

const pages = readdirSync(`${root}docs`)
  .filter((file) => file.endsWith('.md'))
  .map((file) => `docs/${file}`)

for (const page of pages) {
  const folder = `test/${page.replace(/\.md$/, '')}`
  // Workers are started by Node, which reads TypeScript as it was itself started to; the modules are theirs to load.
  if (page === 'docs/isolation.md') testSnippets(page, folder, runAlone, ['primes', 'reminder', 'troubles'])
  else if (page === 'docs/testing.md')
    testSnippets(page, folder, (path, url) => (path.endsWith('/isolated.ts') ? runAlone : runHere)(path, url), [
      'stamp',
    ])
  else testSnippets(page, folder, runHere)
}

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(`${root}${page}`, 'utf8').matchAll(/^#+ (.*)$/gm)
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replace(/ /g, '-'),
  )
}

it.each(['README.md', ...pages])('the links of %s lead somewhere', (page) => {
  const text = readFileSync(`${root}${page}`, 'utf8')
  const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)]
  const dead = links.filter(([, path = '', anchor]) => {
    const target = path === '' ? page : join(dirname(page), path)
    if (!existsSync(`${root}${target}`)) return true
    return anchor !== undefined && !anchorsOf(target).includes(anchor)
  })
  expect(dead.map(([link]) => link)).toEqual([])
})
