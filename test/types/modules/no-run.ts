/** A module whose handler has another name. */
export const start = (input: string): number => input.length
