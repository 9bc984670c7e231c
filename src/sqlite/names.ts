/** The names of tasks by number, as rows and indexes hold them. Read again when another connection has written. */
import type { Database, Statement } from './driver.js'

export class Names {
  readonly #numbers: Map<string, number> = new Map()
  readonly #names: Map<number, string> = new Map()
  readonly #all: Statement
  readonly #insert: Statement

  constructor(database: Database) {
    this.#all = database.prepare('SELECT id, name FROM names')
    this.#insert = database.prepare('INSERT INTO names (name) VALUES (?)')
  }

  refresh(): void {
    this.#numbers.clear()
    this.#names.clear()
    for (const { id, name } of this.#all.all()) this.#put(name as string, id as number)
  }

  /** The number of a name that is in the file. */
  number(name: string): number | undefined {
    return this.#numbers.get(name)
  }

  /** As `number`, for a name that may be new; within a transaction that writes. */
  make(name: string): number {
    return this.#numbers.get(name) ?? this.#put(name, this.#insert.run(name).inserted)
  }

  name(number: number): string {
    return this.#names.get(number) ?? ''
  }

  /** The numbers of all names that tasks were ever submitted under. */
  get numbers(): Iterable<number> {
    return this.#names.keys()
  }

  #put(name: string, number: number): number {
    this.#numbers.set(name, number)
    this.#names.set(number, name)
    return number
  }
}
