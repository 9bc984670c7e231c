/**
 * The tables in README.md and the short one in the README of the library, from results.json. A group has a place between two
 * marks; what another Node gives has one of its own, `sqlite on Node 24`, where there is one.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { shortTable } from './short-table.mjs'
import { tables } from './tables.mjs'

const README = fileURLToPath(new URL('./README.md', import.meta.url))
const MAIN_README = fileURLToPath(new URL('../README.md', import.meta.url))

/** The Node whose results stand in the places that name none. */
const NODE = '20'

const PLACE = /<!-- results (.+) -->/g
const NOTHING = 'Nothing was measured yet.'

/** Where the results of a group belong that this Node gives: in results.json and in README.md. */
export function placeOf(group) {
  const [node] = process.versions.node.split('.')
  return node === NODE ? group : `${group} on Node ${node}`
}

/** The places that README.md has. */
export function places() {
  return [...readFileSync(README, 'utf8').matchAll(PLACE)].map(([, place]) => place)
}

/** The text of both READMEs by their paths, with the tables of `results`, which has what was measured by its place. */
export function written(results) {
  const known = places()
  for (const place of Object.keys(results))
    if (!known.includes(place)) throw new Error(`README.md has no place for the results of ${place}`)
  const text = known.reduce(
    (text, place) => {
      const measured = results[place] === undefined ? NOTHING : tables(results[place])
      return between(text, `results ${place}`, `/results ${place}`, measured)
    },
    readFileSync(README, 'utf8'),
  )
  const main = between(readFileSync(MAIN_README, 'utf8'), 'bench:begin', 'bench:end', shortTable(results))
  return { [README]: text, [MAIN_README]: main }
}

/** `text` with `inner` between two marks. */
function between(text, begin, end, inner) {
  const [from, to] = [text.indexOf(`<!-- ${begin} -->`), text.indexOf(`<!-- ${end} -->`)]
  if (from < 0 || to < from) throw new Error(`there is no place between ${begin} and ${end}`)
  return `${text.slice(0, from)}<!-- ${begin} -->\n\n${inner}\n\n${text.slice(to)}`
}
