/** Questions of the verbs on tasks. sql.ts says what they find. */
import { question } from './sql-function.js'

export const VERBS: readonly string[] = [
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
]
