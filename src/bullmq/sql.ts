/**
 * What we add to BullMQ's schema in PostgreSQL: tables and functions beside its own, all of them named `br_…`. BullMQ's
 * functions are called by ours, so that what we add to a job happens in one transaction with what BullMQ does.
 *
 * Tables. BullMQ keeps all jobs in one, `job`, by queue and id. Ours are
 *   br_queue      the queues of each engine (`base`)
 *   br_paused     the engines that are paused as a whole
 *   br_task       what a task has beside its job; its fields are those that lua.ts tells of
 *   br_after      a job that comes after another one
 *   br_telling    ended jobs whose followers are still to be told
 *   br_hold       the queues that are held
 *   br_schedule   schedules, as their JSON
 *
 * Values are kept as their JSON texts: in `data` and `return_value` as a string of jsonb, which would else lose the order
 * of keys, and refuses some characters.
 *
 * Times. What is due, and when something was, is by the clock of whoever asks (`v_now`); locks are by the server's.
 */

/** Of the tables and functions below: who finds an older one brings it up to this. */
export const VERSION = 2

export const TABLES = `
CREATE TABLE IF NOT EXISTS br_version (version integer NOT NULL, bull integer NOT NULL);
ALTER TABLE br_version ADD COLUMN IF NOT EXISTS format integer NOT NULL DEFAULT 1;
CREATE TABLE IF NOT EXISTS br_queue (base text NOT NULL, queue text NOT NULL, PRIMARY KEY (base, queue));
CREATE TABLE IF NOT EXISTS br_paused (base text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS br_task (
  queue text NOT NULL,
  job text NOT NULL,
  seq bigserial,
  key text,
  tags text[],
  br text,
  now text,
  saved text,
  cancel text,
  died text,
  leaver text,
  alone text,
  blocked integer NOT NULL DEFAULT 0,
  end_of text,
  is_null boolean NOT NULL DEFAULT false,
  is_cancelled boolean NOT NULL DEFAULT false,
  PRIMARY KEY (queue, job),
  FOREIGN KEY (queue, job) REFERENCES job (queue, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX IF NOT EXISTS br_task_seq ON br_task (queue, seq);
CREATE UNIQUE INDEX IF NOT EXISTS br_task_key ON br_task (queue, md5(key)) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS br_task_tags ON br_task USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX IF NOT EXISTS br_task_cancelled ON br_task (queue) WHERE is_cancelled;
CREATE TABLE IF NOT EXISTS br_after (
  parent_queue text NOT NULL,
  parent text NOT NULL,
  n bigserial,
  queue text NOT NULL,
  job text NOT NULL,
  PRIMARY KEY (parent_queue, parent, n)
);
CREATE TABLE IF NOT EXISTS br_telling (
  base text NOT NULL,
  n bigserial,
  queue text NOT NULL,
  job text NOT NULL,
  state text NOT NULL,
  PRIMARY KEY (base, n)
);
CREATE TABLE IF NOT EXISTS br_hold (
  base text NOT NULL,
  queue text NOT NULL,
  name text NOT NULL,
  until bigint NOT NULL,
  error text NOT NULL,
  probe text,
  attempt integer,
  PRIMARY KEY (base, queue)
);
CREATE TABLE IF NOT EXISTS br_schedule (base text NOT NULL, id text NOT NULL, json text NOT NULL, PRIMARY KEY (base, id));
`

/** A function that others of ours call. */
function helper(name: string, takes: string, gives: string, body: string, language = 'plpgsql', settings = ''): string {
  return `
CREATE OR REPLACE FUNCTION ${name}(${takes}) RETURNS ${gives} LANGUAGE ${language}${settings} AS $f$
${body}
$f$;`
}

/**
 * One that is called from outside, wherever the caller looks for tables. To compile what is over in a ms takes PostgreSQL
 * far longer than a ms.
 */
function entry(name: string, takes: string, gives: string, body: string): string {
  return helper(name, takes, gives, body, 'plpgsql', ' SET search_path FROM CURRENT SET jit TO off')
}

/** What is asked: by which engine, when, by which worker; parameters as an object, and what is raw. Gives JSON. */
function question(name: string, variables: string, body: string): string {
  const takes = 'v_base text, v_now bigint, v_me text, p json, raw text[]'
  return entry(`br_${name}`, takes, 'json', `DECLARE${variables}\nBEGIN${body}END;`)
}

/** What several questions use. */
const HELPERS = [
  helper('br_clock', '', 'bigint', 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint', 'sql'),
  // A channel, as PostgreSQL names it.
  helper(
    'br_channel',
    'v_base text, v_channel text',
    'text',
    `SELECT 'br_' || md5(current_schema() || ' ' || v_base || ' ' || v_channel)`,
    'sql',
  ),
  helper('br_key', 'v_base text, v_what text', 'integer', `SELECT hashtext(br_channel(v_base, v_what))`, 'sql'),
  // Who listens holds a lock, which ends with its connection: whether anybody does can be asked by trying it.
  helper(
    'br_is_heard',
    'v_base text, v_channel text',
    'boolean',
    `
DECLARE
  v_key integer := br_key(v_base, v_channel);
BEGIN
  IF NOT pg_try_advisory_lock(hashtext('br:listens'), v_key) THEN RETURN true; END IF;
  PERFORM pg_advisory_unlock(hashtext('br:listens'), v_key);
  RETURN false;
END;`,
  ),
  entry(
    'br_listen',
    'v_base text, v_channel text',
    'text',
    `
DECLARE
  v_name text := br_channel(v_base, v_channel);
BEGIN
  EXECUTE format('LISTEN %I', v_name);
  PERFORM pg_advisory_lock_shared(hashtext('br:listens'), br_key(v_base, v_channel));
  RETURN v_name;
END;`,
  ),
  entry(
    'br_unlisten',
    'v_base text, v_channel text',
    'text',
    `
DECLARE
  v_name text := br_channel(v_base, v_channel);
BEGIN
  EXECUTE format('UNLISTEN %I', v_name);
  PERFORM pg_advisory_unlock_shared(hashtext('br:listens'), br_key(v_base, v_channel));
  RETURN v_name;
END;`,
  ),
  // Transactions that have found nobody listening to what has changed are over when this returns.
  entry(
    'br_settled',
    'v_base text',
    'void',
    `
DECLARE
  v_key integer := br_key(v_base, 'changed');
BEGIN
  PERFORM pg_advisory_lock(hashtext('br:changes'), v_key);
  PERFORM pg_advisory_unlock(hashtext('br:changes'), v_key);
END;`,
  ),
  helper(
    'br_tell_all',
    'v_base text, v_me text, v_word text',
    'void',
    `SELECT pg_notify(br_channel(v_base, 'all'), v_me || ' ' || v_word)`,
    'sql',
  ),
  // The last step of a question: which jobs have changed, to whoever wants to know.
  helper(
    'br_changed',
    'v_base text, v_me text, v_jobs text[]',
    'void',
    `
DECLARE
  v_text text := v_me;
  v_job text;
BEGIN
  IF cardinality(v_jobs) = 0 THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock_shared(hashtext('br:changes'), br_key(v_base, 'changed'));
  IF NOT br_is_heard(v_base, 'changed') THEN RETURN; END IF;
  FOREACH v_job IN ARRAY v_jobs LOOP
    IF octet_length(v_text) + octet_length(v_job) > 7500 THEN
      PERFORM pg_notify(br_channel(v_base, 'changed'), v_text);
      v_text := v_me;
    END IF;
    v_text := v_text || ' ' || v_job;
  END LOOP;
  PERFORM pg_notify(br_channel(v_base, 'changed'), v_text);
END;`,
  ),
  helper('br_work', 'v_queue text', 'void', `SELECT pg_notify('bullmq_jobs', v_queue)`, 'sql'),
  helper(
    'br_is_paused',
    'v_queue text',
    'boolean',
    `SELECT EXISTS (SELECT FROM meta WHERE queue = v_queue AND field = 'paused' AND value = '1')`,
    'sql',
  ),
  helper(
    'br_state',
    'v_state job_state, v_is_cancelled boolean',
    'text',
    `SELECT CASE v_state
    WHEN 'completed' THEN 'succeeded'
    WHEN 'failed' THEN CASE WHEN v_is_cancelled THEN 'cancelled' ELSE 'failed' END
    WHEN 'delayed' THEN 'scheduled'
    WHEN 'active' THEN 'running'
    ELSE 'queued'
  END`,
    'sql',
  ),
  helper('br_has_ended', 'v_state text', 'boolean', `SELECT v_state IN ('succeeded', 'failed', 'cancelled')`, 'sql'),
  // The queue of a job, wherever it is.
  helper(
    'br_find',
    'v_base text, v_job text',
    'text',
    `SELECT q.queue FROM br_queue q JOIN job j ON j.queue = q.queue AND j.id = v_job WHERE q.base = v_base LIMIT 1`,
    'sql',
  ),
  // A value is the text of its JSON, in a string.
  helper(
    'br_json',
    'v_value jsonb',
    'text',
    `SELECT CASE jsonb_typeof(v_value) WHEN 'string' THEN v_value #>> '{}' ELSE v_value::text END`,
    'sql',
  ),
  // As job.ts reads it: the fields one after the other, by the names that they have on Redis.
  helper(
    'br_row',
    'j job, x br_task',
    'json',
    `
DECLARE
  f text[] := ARRAY['name', j.name, 'data', br_json(j.data), 'opts', j.opts::text, 'timestamp', j.added_at_ms::text,
    'priority', j.priority::text, 'ats', j.attempts_started::text];
BEGIN
  IF j.processed_at_ms IS NOT NULL THEN f := f || ARRAY['processedOn', j.processed_at_ms::text]; END IF;
  IF j.finished_at_ms IS NOT NULL THEN f := f || ARRAY['finishedOn', j.finished_at_ms::text]; END IF;
  IF j.return_value IS NOT NULL THEN f := f || ARRAY['returnvalue', br_json(j.return_value)]; END IF;
  IF j.progress IS NOT NULL THEN f := f || ARRAY['progress', br_json(j.progress)]; END IF;
  IF x.br IS NOT NULL THEN f := f || ARRAY['br', x.br]; END IF;
  IF x.now IS NOT NULL THEN f := f || ARRAY['br:now', x.now]; END IF;
  IF x.saved IS NOT NULL THEN f := f || ARRAY['br:saved', x.saved]; END IF;
  IF x.cancel IS NOT NULL THEN f := f || ARRAY['br:cancel', x.cancel]; END IF;
  IF x.died IS NOT NULL THEN f := f || ARRAY['br:died', x.died]; END IF;
  IF x.end_of IS NOT NULL THEN f := f || ARRAY['br:end', x.end_of]; END IF;
  IF x.is_null THEN f := f || ARRAY['br:null', '1']; END IF;
  RETURN json_build_array(j.queue, j.id, br_state(j.state, x.is_cancelled), to_json(f));
END;`,
  ),
  helper(
    'br_read_one',
    'v_queue text, v_job text',
    'json',
    `SELECT br_row(j, x) FROM job j LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
  WHERE j.queue = v_queue AND j.id = v_job`,
    'sql',
  ),
  // What is due waits, but for what comes after others; in the order in which it became due, then of submission.
  helper(
    'br_promote',
    'v_base text, v_now bigint, v_most integer',
    'text[]',
    `
DECLARE
  r record;
  v_ids text[] := '{}';
BEGIN
  IF NOT EXISTS (SELECT FROM br_queue q JOIN job j ON j.queue = q.queue AND j.state = 'delayed' AND j.process_at_ms <= v_now
    WHERE q.base = v_base) THEN RETURN v_ids; END IF;
  -- Two that do this at once would mix up the order.
  PERFORM pg_advisory_xact_lock(hashtext('br:promote'), br_key(v_base, ''));
  FOR r IN
    SELECT j.queue, j.id, coalesce(x.blocked, 0) AS blocked
      FROM br_queue q
      JOIN job j ON j.queue = q.queue AND j.state = 'delayed' AND j.process_at_ms <= v_now
      LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
     WHERE q.base = v_base
     ORDER BY j.process_at_ms, x.seq
     LIMIT v_most
     FOR UPDATE OF j SKIP LOCKED
  LOOP
    IF r.blocked > 0 THEN
      UPDATE job SET state = 'waiting-children', delay_ms = 0 WHERE queue = r.queue AND id = r.id;
    ELSE
      UPDATE job SET state = 'waiting', delay_ms = 0, seq = nextval('job_seq') WHERE queue = r.queue AND id = r.id;
      PERFORM publish_event(r.queue, 'waiting', jsonb_build_object('jobId', r.id, 'prev', 'delayed'));
      PERFORM br_work(r.queue);
    END IF;
    v_ids := v_ids || r.id;
  END LOOP;
  RETURN v_ids;
END;`,
  ),
  // local/holds.ts has the rules.
  helper(
    'br_is_held',
    'v_base text, v_queue text, v_now bigint',
    'boolean',
    `
DECLARE
  h br_hold;
BEGIN
  SELECT * INTO h FROM br_hold WHERE base = v_base AND queue = v_queue;
  IF NOT FOUND THEN RETURN false; END IF;
  IF v_now < h.until THEN RETURN true; END IF;
  RETURN EXISTS (SELECT FROM job WHERE queue = v_queue AND id = h.probe AND state = 'active'
    AND attempts_started = h.attempt AND locked_until_ms > br_clock());
END;`,
  ),
  // It has ended: who comes after it is still to be told. Whoever comes after it waits for this lock.
  helper(
    'br_ended',
    'v_base text, v_queue text, v_job text, v_state text',
    'integer',
    `
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('br:after'), hashtext(v_queue || ' ' || v_job) & 63);
  IF NOT EXISTS (SELECT FROM br_after WHERE parent_queue = v_queue AND parent = v_job) THEN RETURN 0; END IF;
  INSERT INTO br_telling (base, queue, job, state) VALUES (v_base, v_queue, v_job, v_state);
  RETURN 1;
END;`,
  ),
  // One that waits ends without having run.
  helper(
    'br_end_waiting',
    'v_base text, v_now bigint, v_me text, v_queue text, v_job text, v_why text, v_is_cancelled boolean',
    'integer',
    `
BEGIN
  UPDATE job SET state = 'failed', finished_at_ms = v_now, failed_reason = v_why, lock_token = NULL, locked_until_ms = NULL
   WHERE queue = v_queue AND id = v_job;
  UPDATE br_task SET is_cancelled = v_is_cancelled WHERE queue = v_queue AND job = v_job;
  PERFORM publish_event(v_queue, 'failed', jsonb_build_object('jobId', v_job, 'failedReason', v_why, 'prev', 'waiting'));
  -- Perhaps all is done, and somebody waits for that.
  IF NOT EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'waiting')
    AND NOT EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'active')
    AND NOT EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'delayed')
    AND NOT EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'waiting-children') THEN
    PERFORM br_tell_all(v_base, v_me, 'drained');
  END IF;
  RETURN br_ended(v_base, v_queue, v_job, CASE WHEN v_is_cancelled THEN 'cancelled' ELSE 'failed' END);
END;`,
  ),
  // Comes after those of v_parents that have not ended; says how many, and gives one that has ended otherwise than well.
  helper(
    'br_follow',
    'v_base text, v_queue text, v_job text, v_parents text[], OUT v_blocked integer, OUT v_failed text',
    'record',
    `
DECLARE
  v_parent text;
  v_at text;
  v_state text;
BEGIN
  v_blocked := 0;
  FOREACH v_parent IN ARRAY v_parents LOOP
    v_at := br_find(v_base, v_parent);
    CONTINUE WHEN v_at IS NULL;
    PERFORM pg_advisory_xact_lock(hashtext('br:after'), hashtext(v_at || ' ' || v_parent) & 63);
    v_state := (SELECT br_state(j.state, x.is_cancelled) FROM job j LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
      WHERE j.queue = v_at AND j.id = v_parent);
    IF v_state IS NULL OR v_state = 'succeeded' THEN CONTINUE;
    ELSIF br_has_ended(v_state) THEN v_failed := coalesce(v_failed, v_state || ' ' || v_parent);
    ELSE
      INSERT INTO br_after (parent_queue, parent, queue, job) VALUES (v_at, v_parent, v_queue, v_job);
      v_blocked := v_blocked + 1;
    END IF;
  END LOOP;
END;`,
  ),
  helper(
    'br_add_queue',
    'v_base text, v_me text, v_queue text',
    'void',
    `
BEGIN
  IF EXISTS (SELECT FROM br_queue WHERE base = v_base AND queue = v_queue) THEN RETURN; END IF;
  INSERT INTO br_queue (base, queue) VALUES (v_base, v_queue) ON CONFLICT DO NOTHING;
  IF EXISTS (SELECT FROM br_paused WHERE base = v_base) THEN PERFORM pause(v_queue, true); END IF;
  PERFORM br_tell_all(v_base, v_me, 'queues');
END;`,
  ),
  // The tasks of \`insert\`, one a row.
  helper(
    'br_tasks',
    'p json, v_inputs text[], v_brs text[], v_now bigint',
    `TABLE (n bigint, id text, is_new boolean, queue text, name text, priority integer, attempts integer, delay bigint,
  key text, tags text[], after text[], run boolean, at bigint, input text, br text)`,
    `SELECT n, id, "new", queue, name, priority, attempts, greatest(delay, 0), key, tags, after, run, coalesce(at, v_now), input,
    nullif(br, '')
  FROM ROWS FROM (
    json_to_recordset(p -> 'tasks') AS (id text, "new" boolean, queue text, name text, priority integer, attempts integer,
      delay bigint, key text, tags text[], after text[], run boolean, at bigint),
    unnest(v_inputs), unnest(v_brs)
  ) WITH ORDINALITY AS task(id, "new", queue, name, priority, attempts, delay, key, tags, after, run, at, input, br, n)
  ORDER BY n`,
    'sql',
  ),
  helper(
    'br_opts',
    'v_priority integer, v_attempts integer, v_delay bigint',
    'jsonb',
    `SELECT jsonb_strip_nulls(jsonb_build_object('priority', v_priority, 'attempts', v_attempts, 'delay', nullif(v_delay, 0)))`,
    'sql',
  ),
  // One that was just stored waits for v_parents, or ends with one of them: whether it does.
  helper(
    'br_come_after',
    'v_base text, v_now bigint, v_me text, v_queue text, v_job text, v_parents text[], v_run boolean',
    'boolean',
    `
DECLARE
  v_blocked integer;
  v_failed text;
BEGIN
  SELECT f.v_blocked, f.v_failed INTO v_blocked, v_failed FROM br_follow(v_base, v_queue, v_job, v_parents) f;
  IF v_blocked > 0 THEN
    UPDATE br_task SET blocked = v_blocked WHERE queue = v_queue AND job = v_job;
    UPDATE job SET state = CASE state WHEN 'waiting' THEN 'waiting-children' ELSE state END WHERE queue = v_queue AND id = v_job;
  END IF;
  IF v_failed IS NULL OR v_run THEN RETURN false; END IF;
  UPDATE br_task SET end_of = v_failed WHERE queue = v_queue AND job = v_job;
  PERFORM br_end_waiting(v_base, v_now, v_me, v_queue, v_job, 'cancelled', true);
  RETURN true;
END;`,
  ),
  // Many that are new and have no keys; in one go for each run of the same queue, so that the order is theirs.
  helper(
    'br_insert_plain',
    `v_base text, p json, v_inputs text[], v_brs text[], v_now bigint, v_me text,
  OUT v_answer json[], OUT v_cancelled text[], OUT v_refusal json`,
    'record',
    `
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT queue, jsonb_agg(jsonb_build_object('id', id, 'name', name, 'data', to_jsonb(input)::text, 'priority', priority,
        'opts', br_opts(priority, attempts, delay), 'delay', delay, 'timestamp', at, 'attempts', attempts) ORDER BY n) AS jobs
      FROM (SELECT *, n - row_number() OVER (PARTITION BY queue ORDER BY n) AS run_of FROM br_tasks(p, v_inputs, v_brs, v_now)) t
     GROUP BY queue, run_of ORDER BY min(n)
  LOOP
    PERFORM add_jobs_bulk(r.queue, r.jobs);
  END LOOP;
  INSERT INTO br_task (queue, job, tags, br) SELECT queue, id, tags, br FROM br_tasks(p, v_inputs, v_brs, v_now) ON CONFLICT DO NOTHING;
  v_cancelled := '{}';
  v_answer := (SELECT array_agg(json_build_array(id, 0) ORDER BY n) FROM br_tasks(p, v_inputs, v_brs, v_now));
  -- Each finds those before it.
  SELECT json_build_array('unknown', parent) INTO v_refusal
    FROM br_tasks(p, v_inputs, v_brs, v_now) t CROSS JOIN unnest(t.after) AS parent
    LEFT JOIN br_tasks(p, v_inputs, v_brs, v_now) other ON other.id = parent
   WHERE other.n >= t.n OR (other.n IS NULL AND br_find(v_base, parent) IS NULL)
   ORDER BY t.n LIMIT 1;
  IF v_refusal IS NOT NULL THEN RETURN; END IF;
  FOR r IN SELECT * FROM br_tasks(p, v_inputs, v_brs, v_now) WHERE after IS NOT NULL LOOP
    IF br_come_after(v_base, v_now, v_me, r.queue, r.id, r.after, r.run) THEN
      v_cancelled := v_cancelled || (r.queue || ' ' || r.id);
    END IF;
  END LOOP;
END;`,
  ),
  // One after the other: each finds those before it. What was stored is to be undone if there is a refusal.
  helper(
    'br_insert_each',
    `v_base text, p json, v_inputs text[], v_brs text[], v_now bigint, v_me text,
  OUT v_answer json[], OUT v_cancelled text[], OUT v_refusal json`,
    'record',
    `
DECLARE
  r record;
  v_at text;
  v_by_key text;
  v_parent text;
BEGIN
  v_answer := '{}';
  v_cancelled := '{}';
  -- Of two that bring the same id or key at once, the second one finds the first. No more than 64 locks: the room for
  -- them in PostgreSQL is small.
  PERFORM pg_advisory_xact_lock(hashtext('br:same'), h) FROM (
    SELECT DISTINCT h FROM (
      SELECT br_key(v_base, 'id ' || id) & 63 AS h FROM br_tasks(p, v_inputs, v_brs, v_now) WHERE NOT is_new
      UNION ALL
      SELECT br_key(v_base, 'key ' || queue || ' ' || key) & 63 FROM br_tasks(p, v_inputs, v_brs, v_now) WHERE key IS NOT NULL
    ) one ORDER BY h
  ) each;
  FOR r IN SELECT * FROM br_tasks(p, v_inputs, v_brs, v_now) LOOP
    v_at := NULL;
    v_by_key := NULL;
    IF r.is_new THEN
      -- It was stored, and only the answer was lost.
      IF EXISTS (SELECT FROM job WHERE queue = r.queue AND id = r.id) THEN
        v_answer := v_answer || json_build_array(r.id, 0);
        CONTINUE;
      END IF;
    ELSE
      v_at := br_find(v_base, r.id);
      IF v_at <> r.queue THEN v_refusal := json_build_array('name', r.id, v_at); RETURN; END IF;
    END IF;
    IF r.key IS NOT NULL THEN
      v_by_key := (SELECT job FROM br_task WHERE queue = r.queue AND md5(key) = md5(r.key));
    END IF;
    IF v_at IS NOT NULL AND v_by_key <> r.id THEN v_refusal := json_build_array('key', r.id); RETURN; END IF;
    IF v_by_key IS NOT NULL OR v_at IS NOT NULL THEN
      v_answer := v_answer || json_build_array(coalesce(v_by_key, r.id), 1);
      CONTINUE;
    END IF;
    FOREACH v_parent IN ARRAY coalesce(r.after, '{}') LOOP
      IF br_find(v_base, v_parent) IS NULL THEN v_refusal := json_build_array('unknown', v_parent); RETURN; END IF;
    END LOOP;
    PERFORM add_job(r.queue, r.id, r.name, to_jsonb(r.input), br_opts(r.priority, r.attempts, r.delay), r.priority, r.delay,
      r.at, r.attempts, NULL, NULL, NULL, NULL, NULL, false);
    INSERT INTO br_task (queue, job, key, tags, br) VALUES (r.queue, r.id, r.key, r.tags, r.br) ON CONFLICT DO NOTHING;
    IF r.after IS NOT NULL AND br_come_after(v_base, v_now, v_me, r.queue, r.id, r.after, r.run) THEN
      v_cancelled := v_cancelled || (r.queue || ' ' || r.id);
    END IF;
    v_answer := v_answer || json_build_array(r.id, 0);
  END LOOP;
END;`,
  ),
  // Takes the best of v_queues: its row, null if none waits, or "declined" where BullMQ gives none.
  helper(
    'br_take',
    'v_base text, v_now bigint, v_me text, v_lock bigint, v_queues text[], INOUT v_changed text[], OUT v_row json',
    'record',
    `
DECLARE
  v_queue text;
  j job;
  x br_task;
  v_holds boolean := EXISTS (SELECT FROM br_hold WHERE base = v_base);
BEGIN
  v_changed := v_changed || br_promote(v_base, v_now, NULL);
  WHILE cardinality(v_queues) > 0 LOOP
    IF cardinality(v_queues) = 1 THEN v_queue := v_queues[1];
    ELSE
      SELECT q.queue INTO v_queue
        FROM unnest(v_queues) AS q(queue)
       CROSS JOIN LATERAL (
         SELECT h.priority, h.seq FROM job h WHERE h.queue = q.queue AND h.state = 'waiting' ORDER BY h.priority, h.seq LIMIT 1
       ) h
       WHERE NOT br_is_paused(q.queue)
       ORDER BY h.priority, h.seq
       LIMIT 1;
      EXIT WHEN NOT FOUND;
    END IF;
    v_queues := array_remove(v_queues, v_queue);
    IF v_holds THEN
      PERFORM FROM br_hold WHERE base = v_base AND queue = v_queue FOR UPDATE;
      CONTINUE WHEN br_is_held(v_base, v_queue, v_now);
    END IF;
    SELECT * INTO j FROM move_to_active(v_queue, v_me, br_clock() - v_now + v_lock, v_now, NULL, NULL, NULL);
    IF j.id IS NOT NULL THEN
      IF v_holds THEN
        UPDATE br_hold SET probe = j.id, attempt = j.attempts_started WHERE base = v_base AND queue = v_queue;
      END IF;
      v_changed := v_changed || j.id;
      SELECT * INTO x FROM br_task WHERE queue = j.queue AND job = j.id;
      IF x.is_cancelled THEN
        -- It was cancelled, and BullMQ's own tools have retried it.
        UPDATE br_task SET is_cancelled = false, cancel = NULL, end_of = NULL WHERE queue = j.queue AND job = j.id
        RETURNING * INTO x;
      END IF;
      v_row := br_row(j, x);
      RETURN;
    END IF;
    IF EXISTS (SELECT FROM meta WHERE queue = v_queue AND field IN ('concurrency', 'max')) THEN v_row := '"declined"'; END IF;
  END LOOP;
END;`,
  ),
]

const QUESTIONS = [
  // All or none: what is refused half way is undone.
  question(
    'insert',
    `
  v_schedule text := p -> 'schedule' ->> 'id';
  v_becomes text;
  v_most bigint := (p ->> 'maxPending')::bigint;
  v_pending bigint := 0;
  v_inputs text[];
  v_brs text[];
  v_is_plain boolean;
  v_refusal json;
  v_answer json[] := '{}';
  v_cancelled text[] := '{}';
  v_changed text[] := '{}';
`,
    `
  IF v_schedule IS NOT NULL THEN
    PERFORM FROM br_schedule WHERE base = v_base AND id = v_schedule AND json = raw[1] FOR UPDATE;
    IF NOT FOUND THEN RETURN '["changed"]'; END IF;
    v_becomes := raw[2];
    raw := raw[3:];
  END IF;
  IF v_most IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('br:pending'), br_key(v_base, ''));
    -- BullMQ has an index of each state.
    v_pending := (SELECT coalesce(sum((SELECT count(*) FROM job WHERE queue = q.queue AND state = 'waiting')
        + (SELECT count(*) FROM job WHERE queue = q.queue AND state = 'delayed')
        + (SELECT count(*) FROM job WHERE queue = q.queue AND state = 'waiting-children')), 0)
      FROM br_queue q WHERE q.base = v_base);
  END IF;
  SELECT array_agg(text ORDER BY n) FILTER (WHERE n % 2 = 1), array_agg(text ORDER BY n) FILTER (WHERE n % 2 = 0)
    INTO v_inputs, v_brs FROM unnest(raw) WITH ORDINALITY AS texts(text, n);
  PERFORM br_add_queue(v_base, v_me, queue) FROM (
    SELECT DISTINCT queue FROM json_to_recordset(p -> 'tasks') AS (queue text) ORDER BY queue) queues;
  -- One that is there already was stored, and only the answer was lost.
  v_is_plain := cardinality(v_inputs) > 20 AND NOT EXISTS (
    SELECT FROM br_tasks(p, v_inputs, v_brs, v_now) t
     WHERE NOT is_new OR key IS NOT NULL OR EXISTS (SELECT FROM job j WHERE j.queue = t.queue AND j.id = t.id));
  v_changed := br_promote(v_base, v_now, 1000);
  BEGIN
    IF v_is_plain THEN
      SELECT i.v_answer, i.v_cancelled, i.v_refusal INTO v_answer, v_cancelled, v_refusal
        FROM br_insert_plain(v_base, p, v_inputs, v_brs, v_now, v_me) i;
    ELSE
      SELECT i.v_answer, i.v_cancelled, i.v_refusal INTO v_answer, v_cancelled, v_refusal
        FROM br_insert_each(v_base, p, v_inputs, v_brs, v_now, v_me) i;
    END IF;
    IF v_refusal IS NULL AND v_most IS NOT NULL THEN
      SELECT json_build_array('full', v_pending) INTO v_refusal
        FROM (SELECT count(*) AS fresh FROM unnest(v_answer) AS each WHERE each ->> 1 = '0') new
       WHERE fresh > 0 AND v_pending + fresh > v_most;
    END IF;
    IF v_refusal IS NOT NULL THEN RAISE SQLSTATE 'BR001'; END IF;
  EXCEPTION WHEN SQLSTATE 'BR001' THEN RETURN v_refusal;
  END;
  IF v_schedule IS NOT NULL THEN
    UPDATE br_schedule SET json = v_becomes WHERE base = v_base AND id = v_schedule;
    PERFORM br_tell_all(v_base, v_me, 'schedules');
  END IF;
  SELECT v_changed || array_agg(each ->> 0) INTO v_changed FROM unnest(v_answer) AS each WHERE each ->> 1 = '0';
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN array_to_json('"stored"'::json || v_answer || to_json(v_cancelled));
`,
  ),

  // The lock's ms, the queues; last, how many are to be taken. Gives a list: as many as there are, or "declined".
  question(
    'claim',
    `
  v_left integer := raw[cardinality(raw)]::integer;
  v_queues text[] := raw[2:cardinality(raw) - 1];
  v_changed text[] := '{}';
  v_row json;
  v_rows json[] := '{}';
`,
    `
  WHILE v_left > 0 LOOP
    SELECT k.v_changed, k.v_row INTO v_changed, v_row
      FROM br_take(v_base, v_now, v_me, raw[1]::bigint, v_queues, v_changed) k;
    EXIT WHEN v_row IS NULL;
    v_rows := v_rows || v_row;
    EXIT WHEN v_row::text = '"declined"';
    v_left := v_left - 1;
  END LOOP;
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN array_to_json(v_rows);
`,
  ),

  // As lua.ts says; raw from 1 on is what ARGV is there from 4 on.
  question(
    'settle',
    `
  v_queue text := raw[1];
  v_job text := raw[2];
  v_to text := raw[5];
  v_flags text := raw[6];
  v_delay bigint := nullif(raw[7], '')::bigint;
  v_till bigint := nullif(raw[8], '')::bigint;
  v_is job_state;
  v_lock text;
  v_attempt integer;
  v_cancel text;
  v_word text := 'settled';
  v_hold text;
  v_over integer := 0;
  v_changed text[] := '{}';
  v_next json;
`,
    `
  -- A success is written whatever is asked meanwhile, and BullMQ looks at the lock again: the row need not be locked twice.
  IF v_to = 'completed' THEN
    SELECT state, lock_token, attempts_started INTO v_is, v_lock, v_attempt FROM job WHERE queue = v_queue AND id = v_job;
  ELSE
    SELECT state, lock_token, attempts_started INTO v_is, v_lock, v_attempt FROM job WHERE queue = v_queue AND id = v_job
       FOR UPDATE;
    v_cancel := coalesce((SELECT cancel FROM br_task WHERE queue = v_queue AND job = v_job), '');
  END IF;
  IF v_is IS DISTINCT FROM 'active' OR v_lock IS DISTINCT FROM v_me THEN
    -- Perhaps it is written already, and only the answer was lost: no other attempt has begun since, and this one is over.
    IF v_is IS NULL OR v_attempt <> raw[3]::integer
      OR NOT (v_is IN ('completed', 'failed') OR (v_to = 'delayed' AND v_is = 'delayed')
        OR (v_to = 'wait' AND v_is = 'waiting')) THEN v_word := 'lost'; END IF;
  ELSE
    IF v_to <> 'completed' AND v_cancel <> raw[10] THEN RETURN json_build_array('cancel', v_cancel); END IF;
    IF raw[11] <> '-' OR v_flags ~ '[cdn]' THEN
      UPDATE br_task SET
        now = CASE raw[11] WHEN '-' THEN br_task.now ELSE nullif(raw[11], '') END,
        died = CASE WHEN v_flags ~ 'd' THEN NULL ELSE died END,
        leaver = CASE WHEN v_flags ~ 'd' THEN NULL ELSE leaver END,
        is_null = is_null OR v_flags ~ 'n',
        is_cancelled = is_cancelled OR v_flags ~ 'c'
       WHERE queue = v_queue AND job = v_job;
    END IF;
    IF v_to = 'completed' THEN
      PERFORM move_to_completed(v_queue, v_job, v_me, to_jsonb(raw[12]), v_now, false, NULL, NULL);
      v_over := br_ended(v_base, v_queue, v_job, 'succeeded');
    ELSIF v_to = 'failed' THEN
      PERFORM move_to_failed(v_queue, v_job, v_me, raw[12], NULL, v_now, false, NULL, NULL);
      v_over := br_ended(v_base, v_queue, v_job, CASE WHEN v_flags ~ 'c' THEN 'cancelled' ELSE 'failed' END);
    ELSIF v_to = 'delayed' THEN
      PERFORM move_to_delayed(v_queue, v_job, v_me, v_now + v_delay, v_delay, true, NULL, NULL);
    ELSE PERFORM move_active_to_wait(v_queue, v_job, v_me, v_now);
    END IF;
    IF v_flags ~ 'u' THEN
      UPDATE job SET attempts_started = attempts_started - 1 WHERE queue = v_queue AND id = v_job;
    END IF;
    v_changed := ARRAY[v_job];
    IF v_till IS NOT NULL THEN
      INSERT INTO br_hold AS held (base, queue, name, until, error) VALUES (v_base, v_queue, raw[9], v_till, raw[13])
      ON CONFLICT (base, queue) DO UPDATE SET until = v_till, error = raw[13] WHERE held.until < v_till;
      IF FOUND THEN v_hold := 'held'; END IF;
    ELSIF v_flags ~ 's' AND EXISTS (SELECT FROM br_hold WHERE base = v_base AND queue = v_queue) THEN
      DELETE FROM br_hold WHERE base = v_base AND queue = v_queue AND probe = v_job AND attempt = raw[3]::integer;
      IF FOUND THEN v_hold := 'lifted'; END IF;
    END IF;
    IF v_hold IS NOT NULL THEN PERFORM br_tell_all(v_base, v_me, 'holds'); END IF;
  END IF;
  IF raw[14] <> '' THEN
    SELECT k.v_changed, k.v_row INTO v_changed, v_next
      FROM br_take(v_base, v_now, v_me, raw[14]::bigint, raw[15:], v_changed) k;
  END IF;
  -- Perhaps all is done, and somebody waits for that.
  IF v_next IS NULL AND NOT EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'active') THEN
    PERFORM br_tell_all(v_base, v_me, 'drained');
  END IF;
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN json_build_array(v_word, v_hold, v_over, v_next);
`,
  ),

  // Rows of `ids`, wherever they are; of `jobs`, where they are known to be.
  question(
    'read',
    `
  v_rows json[] := '{}';
  v_id text;
  v_at json;
`,
    `
  FOR v_id IN SELECT * FROM json_array_elements_text(p -> 'ids') LOOP
    v_rows := v_rows || coalesce(br_read_one(br_find(v_base, v_id), v_id), 'null');
  END LOOP;
  FOR v_at IN SELECT * FROM json_array_elements(p -> 'jobs') LOOP
    v_rows := v_rows || coalesce(br_read_one(v_at ->> 0, v_at ->> 1), 'null');
  END LOOP;
  RETURN array_to_json(v_rows);
`,
  ),

  // Writes one field of a running job, while its attempt is still this worker's.
  question(
    'put',
    `
  v_queue text := p ->> 'queue';
  v_job text := p ->> 'id';
`,
    `
  PERFORM FROM job WHERE queue = v_queue AND id = v_job AND state = 'active' AND lock_token = v_me FOR UPDATE;
  IF NOT FOUND THEN RETURN '0'; END IF;
  IF p ->> 'field' = 'progress' THEN
    -- A number is shown as one elsewhere, too.
    PERFORM update_progress(v_queue, v_job,
      CASE WHEN raw[1] ~ '^\\d{1,9}(\\.\\d{1,6})?$' THEN raw[1]::jsonb ELSE to_jsonb(raw[1]) END);
  ELSIF p ->> 'field' = 'br:alone' THEN UPDATE br_task SET alone = raw[1] WHERE queue = v_queue AND job = v_job;
  ELSE UPDATE br_task SET saved = raw[1] WHERE queue = v_queue AND job = v_job;
  END IF;
  PERFORM br_changed(v_base, v_me, ARRAY[v_job]);
  RETURN '1';
`,
  ),

  // One step of a task's life by a verb, if it is still as it was read. Raw: `now` and `cancel` as they were, and as they will be.
  question(
    'amend',
    `
  v_queue text := p ->> 'queue';
  v_job text := p ->> 'id';
  v_op text := p ->> 'op';
  v_run_at bigint := (p ->> 'runAt')::bigint;
  v_changed text[] := ARRAY[p ->> 'id'];
  v_over integer := 0;
  v_blocked integer := 0;
  v_more text[];
  j job;
  x br_task;
`,
    `
  SELECT * INTO j FROM job WHERE queue = v_queue AND id = v_job FOR UPDATE;
  SELECT * INTO x FROM br_task WHERE queue = v_queue AND job = v_job FOR UPDATE;
  IF j.id IS NULL OR br_state(j.state, x.is_cancelled) <> p ->> 'state' OR coalesce(x.now, '') <> raw[1]
    OR coalesce(x.cancel, '') <> raw[2] OR j.attempts_started <> (p ->> 'attempt')::integer THEN RETURN NULL; END IF;
  IF v_op = 'mark' THEN
    UPDATE br_task SET cancel = raw[4] WHERE queue = v_queue AND job = v_job;
    IF j.lock_token IS NOT NULL THEN
      PERFORM pg_notify(br_channel(v_base, 'w:' || j.lock_token), 'cancel ' || v_job);
    END IF;
    PERFORM br_changed(v_base, v_me, v_changed);
    RETURN '[0]';
  END IF;
  IF raw[3] <> '' THEN UPDATE br_task SET now = raw[3] WHERE queue = v_queue AND job = v_job; END IF;
  IF v_op IN ('cancel', 'fail') THEN
    UPDATE br_task SET died = NULL, cancel = CASE v_op WHEN 'cancel' THEN raw[4] ELSE cancel END
     WHERE queue = v_queue AND job = v_job;
    v_over := br_end_waiting(v_base, v_now, v_me, v_queue, v_job,
      CASE v_op WHEN 'cancel' THEN 'cancelled' ELSE p ->> 'reason' END, v_op = 'cancel');
  ELSIF v_op = 'priority' THEN
    UPDATE job SET priority = (p ->> 'priority')::integer WHERE queue = v_queue AND id = v_job;
  ELSIF v_op = 'retry' THEN
    UPDATE br_task SET cancel = NULL, end_of = NULL, died = NULL, blocked = 0, is_cancelled = false
     WHERE queue = v_queue AND job = v_job;
    v_changed := v_changed || br_promote(v_base, v_now, 1000);
    PERFORM reprocess_job(v_queue, v_job, 'failed', false, true, false);
    UPDATE job SET progress = NULL WHERE queue = v_queue AND id = v_job;
    SELECT array_agg(value) INTO v_more FROM json_array_elements_text(p -> 'after');
    IF v_more IS NOT NULL THEN SELECT f.v_blocked INTO v_blocked FROM br_follow(v_base, v_queue, v_job, v_more) f; END IF;
    UPDATE br_task SET blocked = v_blocked WHERE queue = v_queue AND job = v_job;
    IF v_run_at > v_now THEN
      UPDATE job SET state = 'delayed', process_at_ms = v_run_at, delay_ms = v_run_at - v_now
       WHERE queue = v_queue AND id = v_job;
    ELSIF v_blocked > 0 THEN UPDATE job SET state = 'waiting-children' WHERE queue = v_queue AND id = v_job;
    END IF;
  ELSIF v_op = 'remove' THEN PERFORM remove(v_queue, v_job, false);
  END IF;
  -- While this was being done, it could not be taken.
  PERFORM br_work(v_queue);
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN json_build_array(v_over);
`,
  ),

  // Tells those that come after ended jobs, `most` of them: which were cancelled, whether any was freed, and whether more are left.
  question(
    'tell',
    `
  v_left integer := (p ->> 'most')::integer;
  v_freed integer := 0;
  v_cancelled text[] := '{}';
  v_changed text[] := '{}';
  e br_telling;
  r record;
  j job;
  x br_task;
`,
    `
  WHILE v_left > 0 LOOP
    SELECT * INTO e FROM br_telling WHERE base = v_base ORDER BY n LIMIT 1 FOR UPDATE;
    EXIT WHEN NOT FOUND;
    FOR r IN
      DELETE FROM br_after WHERE parent_queue = e.queue AND parent = e.job AND n IN (
        SELECT n FROM br_after WHERE parent_queue = e.queue AND parent = e.job ORDER BY n LIMIT v_left)
      RETURNING n, queue, job
    LOOP
      v_left := v_left - 1;
      SELECT * INTO j FROM job WHERE queue = r.queue AND id = r.job FOR UPDATE;
      SELECT * INTO x FROM br_task WHERE queue = r.queue AND job = r.job FOR UPDATE;
      CONTINUE WHEN j.id IS NULL OR x.blocked = 0 OR NOT j.state IN ('delayed', 'waiting-children');
      IF e.state <> 'succeeded' AND x.br::json ->> 'onParentFailure' IS DISTINCT FROM 'run' THEN
        UPDATE br_task SET end_of = e.state || ' ' || e.job WHERE queue = r.queue AND job = r.job;
        PERFORM br_end_waiting(v_base, v_now, v_me, r.queue, r.job, 'cancelled', true);
        v_cancelled := v_cancelled || (r.queue || ' ' || r.job);
      ELSE
        UPDATE br_task SET blocked = blocked - 1 WHERE queue = r.queue AND job = r.job;
        IF x.blocked = 1 AND j.state = 'waiting-children' THEN
          UPDATE job SET state = 'waiting', seq = nextval('job_seq') WHERE queue = r.queue AND id = r.job;
          PERFORM publish_event(r.queue, 'waiting', jsonb_build_object('jobId', r.job, 'prev', 'waiting-children'));
          PERFORM br_work(r.queue);
          v_freed := v_freed + 1;
        END IF;
      END IF;
      v_changed := v_changed || r.job;
    END LOOP;
    v_left := v_left - 1;
    IF NOT EXISTS (SELECT FROM br_after WHERE parent_queue = e.queue AND parent = e.job) THEN
      DELETE FROM br_telling WHERE base = v_base AND n = e.n;
    END IF;
  END LOOP;
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN json_build_array(v_cancelled, v_freed, (SELECT count(*) FROM br_telling WHERE base = v_base));
`,
  ),

  // Keeps the locks of `jobs`: whether each is still held, and the cancel that was asked for. One whose row is locked is just
  // being written: to wait for it with others in hand is to be waited for, and its turn comes again.
  question(
    'renew',
    '\n',
    `
  UPDATE job SET locked_until_ms = br_clock() + (p ->> 'lock')::bigint
    FROM (
      SELECT j.queue, j.id FROM json_array_elements(p -> 'jobs') AS jobs(each)
        JOIN job j ON j.queue = each ->> 0 AND j.id = each ->> 1 AND j.state = 'active' AND j.lock_token = v_me
       FOR UPDATE OF j SKIP LOCKED
    ) mine
   WHERE job.queue = mine.queue AND job.id = mine.id;
  RETURN (SELECT coalesce(json_agg(json_build_array((j.id IS NOT NULL)::integer, coalesce(x.cancel, '')) ORDER BY n), '[]')
    FROM json_array_elements(p -> 'jobs') WITH ORDINALITY AS jobs(each, n)
    LEFT JOIN job j ON j.queue = each ->> 0 AND j.id = each ->> 1 AND j.state = 'active' AND j.lock_token = v_me
    LEFT JOIN br_task x ON x.queue = each ->> 0 AND x.job = each ->> 1);
`,
  ),

  // Looks for jobs whose worker is gone, and puts them back, first of their equals, as those that were handed back. BullMQ's own
  // function waits for the rows of all that run, and writes them: with several workers each waits for another.
  question(
    'bury',
    `
  r record;
  v_stalled json[] := '{}';
  v_changed text[] := '{}';
`,
    `
  FOR r IN
    SELECT j.queue, j.id, j.attempts_started, j.processed_at_ms, x.leaver, x.died, x.alone
      FROM br_queue q
      JOIN job j ON j.queue = q.queue AND j.state = 'active'
      LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
     -- Or its worker gave up on it, and is gone: nobody keeps it any more.
     WHERE q.base = v_base AND (j.locked_until_ms < br_clock() OR (x.leaver IS NOT NULL AND NOT br_is_heard(v_base, 'w:' || x.leaver)))
     ORDER BY j.queue, x.seq DESC
     -- What is locked is just being seen to.
     FOR UPDATE OF j SKIP LOCKED
  LOOP
    UPDATE br_task SET
      died = coalesce(r.died || ',', '') || r.attempts_started || ':' || r.processed_at_ms || ':'
        -- A suspect that did not run, but was about to be put back, has not died of itself.
        || CASE WHEN r.leaver IS NULL AND (coalesce(r.died, '') !~ ':died:.*:died:' OR r.alone = r.attempts_started::text)
          THEN 'died' ELSE 'left' END || ':' || v_now,
      leaver = NULL
     WHERE queue = r.queue AND job = r.id;
    UPDATE job SET state = 'waiting', lock_token = NULL, locked_until_ms = NULL, stalled_marked = false,
      stalled_count = stalled_count + 1, seq = -nextval('job_seq')
     WHERE queue = r.queue AND id = r.id;
    PERFORM publish_event(r.queue, 'stalled', jsonb_build_object('jobId', r.id));
    PERFORM br_work(r.queue);
    v_stalled := v_stalled || json_build_array(r.queue, r.id);
    v_changed := v_changed || r.id;
  END LOOP;
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN array_to_json(v_stalled);
`,
  ),

  // What there is to do, as lua.ts says.
  question(
    'outlook',
    `
  v_changed text[] := br_promote(v_base, v_now, 200);
  v_queue text;
  v_mine boolean;
  v_due integer;
  v_first bigint;
  v_till bigint;
  v_next bigint;
  v_ready integer := 0;
  v_busy integer := 0;
  v_more boolean := cardinality(v_changed) = 200;
  v_names text[] := ARRAY(SELECT json_array_elements_text(p -> 'queues'));
`,
    `
  FOR v_queue IN SELECT queue FROM br_queue WHERE base = v_base LOOP
    v_mine := v_queue = ANY (v_names);
    v_first := (SELECT min(process_at_ms) FROM job WHERE queue = v_queue AND state = 'delayed');
    -- More than that many nobody begins at once.
    v_due := (SELECT count(*) FROM (SELECT FROM job WHERE queue = v_queue AND state = 'waiting' LIMIT 1000) few);
    IF v_busy < 3 AND EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'active') THEN v_busy := 3;
    ELSIF v_busy < 2 AND (v_due > 0 OR EXISTS (SELECT FROM job WHERE queue = v_queue AND state = 'waiting-children')) THEN
      v_busy := 2;
    ELSIF v_busy < 1 AND v_first IS NOT NULL THEN v_busy := 1;
    END IF;
    CONTINUE WHEN NOT v_mine;
    v_next := least(v_next, v_first);
    IF v_due > 0 THEN
      SELECT until INTO v_till FROM br_hold WHERE base = v_base AND queue = v_queue;
      IF FOUND THEN
        IF v_till > v_now THEN v_next := least(v_next, v_till); END IF;
        v_due := CASE WHEN br_is_held(v_base, v_queue, v_now) THEN 0 ELSE 1 END;
      END IF;
      IF NOT br_is_paused(v_queue) THEN v_ready := v_ready + v_due; END IF;
    END IF;
  END LOOP;
  IF v_more OR EXISTS (SELECT FROM br_paused WHERE base = v_base) THEN v_ready := 0; END IF;
  PERFORM br_changed(v_base, v_me, v_changed);
  RETURN json_build_array(v_ready, coalesce(v_next::text::json, '""'), v_busy, v_more::integer,
    (SELECT count(*) FROM br_telling WHERE base = v_base));
`,
  ),

  // How many are in each state: queued, scheduled, running, succeeded, failed, cancelled.
  question(
    'counts',
    `
  v_cancelled bigint := (SELECT count(*) FROM br_queue q JOIN br_task x ON x.queue = q.queue
    WHERE q.base = v_base AND x.is_cancelled);
`,
    `
  RETURN (SELECT json_build_array(
      count(*) FILTER (WHERE state IN ('waiting', 'waiting-children')),
      count(*) FILTER (WHERE state = 'delayed'),
      count(*) FILTER (WHERE state = 'active'),
      count(*) FILTER (WHERE state = 'completed'),
      count(*) FILTER (WHERE state = 'failed') - v_cancelled,
      v_cancelled)
    FROM br_queue q JOIN job j ON j.queue = q.queue WHERE q.base = v_base);
`,
  ),

  // A page, newest first, as lua.ts says; what is not on it lies below its last one.
  question(
    'list',
    `
  v_states text[] := ARRAY(SELECT json_array_elements_text(p -> 'states'));
  v_tags text[] := ARRAY(SELECT json_array_elements_text(p -> 'tags'));
  v_queues text[] := CASE WHEN p ->> 'queues' IS NULL THEN ARRAY(SELECT queue FROM br_queue WHERE base = v_base)
    ELSE ARRAY(SELECT json_array_elements_text(p -> 'queues')) END;
  v_limit integer := (p ->> 'limit')::integer;
  v_hits json[];
  v_last bigint;
`,
    `
  SELECT array_agg(json_build_array(seq, queue, job) ORDER BY seq DESC), min(seq) INTO v_hits, v_last FROM (
    SELECT x.seq, x.queue, x.job FROM br_task x JOIN job j ON j.queue = x.queue AND j.id = x.job
     WHERE x.queue = ANY (v_queues) AND x.seq < (p ->> 'before')::bigint
       AND (cardinality(v_tags) = 0 OR x.tags @> v_tags)
       AND (p ->> 'states' IS NULL OR br_state(j.state, x.is_cancelled) = ANY (v_states))
     ORDER BY x.seq DESC LIMIT v_limit
  ) page;
  RETURN array_to_json(coalesce(v_hits, '{}')
    || (CASE WHEN cardinality(v_hits) = v_limit THEN v_last ELSE 0 END)::text::json);
`,
  ),

  // Removes some of what is over the retention: the ids. Parameters: until when each state is over, `count`, `most`.
  question(
    'prune',
    `
  v_most integer := (p ->> 'most')::integer;
  v_count bigint := (p ->> 'count')::bigint;
  v_gone text[];
`,
    `
  WITH over AS (
    SELECT j.queue, j.id FROM br_queue q
      JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
      LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
     WHERE q.base = v_base AND j.finished_at_ms <= (CASE br_state(j.state, x.is_cancelled)
       WHEN 'succeeded' THEN p ->> 'succeeded' WHEN 'failed' THEN p ->> 'failed' ELSE p ->> 'cancelled' END)::bigint
     LIMIT v_most
     FOR UPDATE OF j SKIP LOCKED
  ), gone AS (DELETE FROM job j USING over WHERE j.queue = over.queue AND j.id = over.id RETURNING j.id)
  SELECT coalesce(array_agg(id), '{}') INTO v_gone FROM gone;
  IF v_count IS NOT NULL AND cardinality(v_gone) = 0 THEN
    v_count := (SELECT count(*) FROM br_queue q JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
      WHERE q.base = v_base) - v_count;
    IF v_count > 0 THEN
      WITH over AS (
        SELECT j.queue, j.id FROM br_queue q
          JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
          LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
         WHERE q.base = v_base
         ORDER BY j.finished_at_ms, x.seq
         LIMIT least(v_count, v_most)
         FOR UPDATE OF j
      ), gone AS (DELETE FROM job j USING over WHERE j.queue = over.queue AND j.id = over.id RETURNING j.id)
      SELECT coalesce(array_agg(id), '{}') INTO v_gone FROM gone;
    END IF;
  END IF;
  PERFORM br_changed(v_base, v_me, v_gone);
  RETURN to_json(v_gone);
`,
  ),

  // The whole engine, and BullMQ's own pause of each queue, which its dashboards show.
  question(
    'pause',
    `
  v_paused boolean := (p ->> 'paused')::boolean;
`,
    `
  IF v_paused THEN INSERT INTO br_paused (base) VALUES (v_base) ON CONFLICT DO NOTHING;
  ELSE DELETE FROM br_paused WHERE base = v_base;
  END IF;
  PERFORM pause(queue, v_paused) FROM (SELECT queue FROM br_queue WHERE base = v_base ORDER BY queue) q;
  PERFORM br_tell_all(v_base, v_me, 'paused');
  RETURN '1';
`,
  ),

  // Each queue that is held: name, until, error.
  question(
    'holds',
    '\n',
    `
  RETURN (SELECT coalesce(json_agg(json_build_array(name, until::text, error)), '[]') FROM br_hold WHERE base = v_base);
`,
  ),

  // What keeps a task that waits.
  question(
    'explain',
    `
  v_queue text := p ->> 'queue';
  j job;
  x br_task;
  v_parent text;
  v_state text;
  v_after text[] := '{}';
  v_ahead integer := 0;
  v_hold json;
`,
    `
  SELECT * INTO j FROM job WHERE queue = v_queue AND id = p ->> 'id';
  SELECT * INTO x FROM br_task WHERE queue = v_queue AND job = p ->> 'id';
  IF j.state = 'waiting' THEN
    v_ahead := (SELECT count(*) FROM job WHERE queue = v_queue AND state = 'waiting' AND (priority, seq) < (j.priority, j.seq));
  END IF;
  IF x.blocked > 0 THEN
    FOR v_parent IN SELECT json_array_elements_text(x.br::json -> 'after') LOOP
      v_state := br_read_one(br_find(v_base, 't-' || v_parent), 't-' || v_parent) ->> 2;
      IF v_state IS NOT NULL AND NOT br_has_ended(v_state) THEN v_after := v_after || v_parent; END IF;
    END LOOP;
  END IF;
  IF br_is_held(v_base, v_queue, v_now) THEN
    SELECT json_build_array(until::text, error) INTO v_hold FROM br_hold WHERE base = v_base AND queue = v_queue;
  END IF;
  RETURN json_build_array(
    (br_is_paused(v_queue) OR EXISTS (SELECT FROM br_paused WHERE base = v_base))::integer,
    v_after, v_hold, br_is_heard(v_base, 'knows:' || v_queue)::integer, v_ahead);
`,
  ),

  // Each schedule, as its JSON.
  question(
    'schedules',
    '\n',
    `
  RETURN (SELECT coalesce(json_agg(json), '[]') FROM br_schedule WHERE base = v_base);
`,
  ),

  // Swaps a schedule if it is as it was read ('': not there). Raw: as it was, as it will be ('': gone).
  question(
    'swap',
    `
  v_id text := p ->> 'field';
`,
    `
  IF raw[1] = '' THEN INSERT INTO br_schedule (base, id, json) VALUES (v_base, v_id, raw[2]) ON CONFLICT DO NOTHING;
  ELSIF raw[2] = '' THEN DELETE FROM br_schedule WHERE base = v_base AND id = v_id AND json = raw[1];
  ELSE UPDATE br_schedule SET json = raw[2] WHERE base = v_base AND id = v_id AND json = raw[1];
  END IF;
  IF NOT FOUND THEN RETURN '0'; END IF;
  PERFORM br_tell_all(v_base, v_me, p ->> 'key');
  RETURN '1';
`,
  ),

  // Its worker gives up on these: what comes of them is no death.
  question(
    'leave',
    '\n',
    `
  UPDATE br_task x SET leaver = v_me
    FROM json_array_elements(p -> 'jobs') AS jobs(each)
    JOIN job j ON j.queue = each ->> 0 AND j.id = each ->> 1 AND j.state = 'active' AND j.lock_token = v_me
   WHERE x.queue = j.queue AND x.job = j.id;
  RETURN '1';
`,
  ),

  // What this worker holds, as rows.
  question(
    'mine',
    '\n',
    `
  RETURN (SELECT coalesce(json_agg(br_row(j, x)), '[]') FROM br_queue q
    JOIN job j ON j.queue = q.queue AND j.state = 'active' AND j.lock_token = v_me
    LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
    WHERE q.base = v_base);
`,
  ),
]

export const FUNCTIONS: string = [...HELPERS, ...QUESTIONS].join('\n')
