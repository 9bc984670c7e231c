/** A handler that is more than JavaScript and types. */
enum Level {
  Low = 1,
  High = 2,
}

export const run = ({ width }: { width: number }): number => width * Level.High
