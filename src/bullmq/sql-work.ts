/** Questions about attempts: claims, verdicts, what keeps a lock, who died, and what is due. sql.ts says what they find. */
import { question } from './sql-function.js'

export const WORK: readonly string[] = [
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
]
