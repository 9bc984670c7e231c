/** What several questions use. sql.ts says what they find. */
import { entry, helper } from './sql-function.js'

export const HELPERS: readonly string[] = [
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
