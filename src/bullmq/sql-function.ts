/** How a function of ours in PostgreSQL is written down: what others of ours call, and what is asked from here. */

/** A function that others of ours call. */
export function helper(
  name: string,
  takes: string,
  gives: string,
  body: string,
  language = 'plpgsql',
  settings = '',
): string {
  return `
CREATE OR REPLACE FUNCTION ${name}(${takes}) RETURNS ${gives} LANGUAGE ${language}${settings} AS $f$
${body}
$f$;`
}

/**
 * One that is called from outside, wherever the caller looks for tables. To compile what is over in a ms takes PostgreSQL
 * far longer than a ms.
 */
export function entry(name: string, takes: string, gives: string, body: string): string {
  return helper(name, takes, gives, body, 'plpgsql', ' SET search_path FROM CURRENT SET jit TO off')
}

/** What is asked: by which engine, when, by which worker; parameters as an object, and what is raw. Gives JSON. */
export function question(name: string, variables: string, body: string): string {
  const takes = 'v_base text, v_now bigint, v_me text, p json, raw text[]'
  return entry(`br_${name}`, takes, 'json', `DECLARE${variables}\nBEGIN${body}END;`)
}
