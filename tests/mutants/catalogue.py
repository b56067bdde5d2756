"""The breakages: what is replaced by what, and which tests must notice.

The tests named are few of the suite, chosen to be quick; others may notice too. test_catalogue.py
keeps the list true: a breakage whose text is no longer in its file would show nothing.
"""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

LIFECYCLE = "documents/lifecycle.py"
FAIRNESS = "documents/fairness.py"
KEPT = "documents/kept.py"
TEXTS = "documents/texts.py"
OUTAGES = "documents/outages.py"
CHUNK = "documents/models/chunk.py"
QUERYSETS = "documents/models/querysets.py"
ACCESS = "documents/models/access.py"
REMOVAL = "documents/removal.py"
LIMITS = "documents/limits.py"
UPLOADS = "documents/uploads.py"
ACTORS = "processing/actors.py"
HEARTBEAT = "processing/heartbeat.py"
MIDDLEWARE = "processing/middleware.py"
PIPELINE = "processing/pipeline.py"
RELAY = "processing/relay.py"
VECTORS = "processing/index/vectors.py"
DRAFT = "processing/parsing/draft.py"
SANDBOX = "processing/parsing/sandbox.py"

OF_FOLDERS = "test_a_key_that_ends_with_a_slash_is_a_folder_and_no_object"
OF_DEADLINES = "tests/lumikb/test_deadlines.py::"
OF_FAIRNESS = "tests/documents/test_fairness.py::"
OF_GUARDS = "tests/documents/test_guards.py::"
OF_CACHING = "tests/lumikb/test_caching.py::"
OF_FULL_DISK = "tests/documents/test_disk_full.py::"
OF_LOGS = "tests/lumikb/test_logs.py::"
OF_AUDIT = "tests/documents/test_audit.py::"
OF_BUTTONS = "tests/documents/test_buttons.py::"
OF_OPERATIONS = "tests/lumikb/test_operations.py::"
OF_SERVING = "tests/lumikb/test_serving.py::"
OF_SUBPATH = "tests/lumikb/test_subpath.py::"
OF_SUPERVISOR = "tests/local/test_supervisor.py::"
OF_ALERTS = "tests/lumikb/test_alerts.py::"
OF_HEALTH = "tests/lumikb/test_health.py::"
OF_ISOLATION = "tests/processing/test_isolation.py::"
OF_MEMBERS = "tests/accounts/test_members.py::"
OF_MEMBER_RACES = "tests/accounts/test_member_races.py::"
OF_TOKENS = "tests/accounts/test_tokens.py::"
OF_LOGIN = "tests/accounts/test_login.py::"
OF_LIFECYCLE = "tests/documents/test_lifecycle.py::"
OF_OUTAGES = "tests/documents/test_outages.py::"
OF_REMOVAL = "tests/documents/test_removal.py::"
OF_LIMITS = "tests/documents/test_limits.py::"
OF_MOVING = "tests/documents/test_moving.py::"
OF_HISTORY = "tests/processing/test_history.py::"
OF_RACES = "tests/documents/test_races.py::"
OF_TURNS = "tests/processing/test_turns.py::"
OF_UPLOADS = "tests/documents/test_uploads.py::"
OF_ACTORS = "tests/processing/test_actors.py::"
OF_HEARTBEAT = "tests/processing/test_heartbeat.py::"
OF_PAGES = "tests/processing/test_pages.py::"
OF_PICTURES = "tests/documents/test_pictures.py::"
OF_PIECES = "tests/processing/test_pieces.py::"
OF_BULK = "tests/documents/test_bulk.py::"
OF_SELECTION = "tests/documents/test_selection.py::"
OF_REEMBED = "tests/processing/test_reembed.py::"
OF_PIPELINE = "tests/processing/test_pipeline.py::"
OF_PROCESSING_GUARDS = "tests/processing/test_guards.py::"
OF_RECONCILE = "tests/processing/test_reconcile.py::"
OF_REQUESTS = "tests/processing/test_reconcile_requests.py::"
OF_RELAY = "tests/processing/test_relay.py::"
OF_SANDBOX = "tests/processing/test_parsing_sandbox.py::"
OF_SEARCH = "tests/search/test_search.py::"
OF_QDRANT = "tests/local/test_qdrant.py::"
OF_IDEMPOTENCY = "tests/documents/test_idempotency.py::"
OF_SECURITY = "tests/lumikb/test_security.py::"
OF_STRICTNESS = "tests/lumikb/test_strictness.py::"
OF_VECTORS = "tests/processing/test_vectors.py::"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands exactly once in `file`; `tests` are pytest's node ids."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, repository: Path) -> None:
        """Break that copy. Raises ValueError when it cannot be done just so."""
        path = repository / self.file
        source = path.read_text()
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"its text stands {count} times in {self.file}")
        path.write_text(source.replace(self.old, self.new))


MUTANTS = [
    # --- The fence -------------------------------------------------------------------------------
    Mutant(
        "writes without the epoch",
        QUERYSETS,
        "filter(pk=document_id, status=Status.PROCESSING, lease_epoch=epoch)",
        "filter(pk=document_id, status=Status.PROCESSING)",
        (OF_LIFECYCLE + "test_the_write_of_a_late_worker_changes_nothing",),
    ),
    Mutant(
        "renew without the epoch",
        LIFECYCLE,
        "ours |= Q(pk=held.document_id, lease_epoch=held.epoch)",
        "ours |= Q(pk=held.document_id)",
        (OF_LIFECYCLE + "test_the_write_of_a_late_worker_changes_nothing",),
    ),
    Mutant(
        "reclaim without the epoch",
        LIFECYCLE,
        "abandoned().filter(pk=lost.document_id, lease_epoch=lost.epoch)",
        "abandoned().filter(pk=lost.document_id)",
        (OF_LIFECYCLE + "test_a_reclaim_of_an_older_look_does_not_touch_the_new_worker",),
    ),
    Mutant(
        "reclaim of a lease that is good",
        QUERYSETS,
        "Q(lease_expires_at__lt=Now()) | missed_a_beat & gone,",
        "Q(lease_expires_at__isnull=False),",
        (OF_LIFECYCLE + "test_a_live_lease_cannot_be_reclaimed",),
    ),
    Mutant(
        "the epoch does not grow",
        LIFECYCLE,
        'lease_epoch=F("lease_epoch") + 1',
        'lease_epoch=F("lease_epoch")',
        (OF_LIFECYCLE + "test_a_claim_counts_the_try_and_raises_the_epoch",),
    ),
    Mutant(
        "deleting leaves the worker its lease",
        LIFECYCLE,
        "documents.update(deleted_at=Now(), **_NO_LEASE)",
        "documents.update(deleted_at=Now())",
        (OF_RACES + "test_deleting_what_is_just_being_claimed_takes_it_from_the_worker",),
    ),
    Mutant(
        "a stale success replaces the passages",
        LIFECYCLE,
        "        if not done:\n            return False\n        Chunk",
        "        Chunk",
        (OF_LIFECYCLE + "test_the_write_of_a_late_worker_changes_nothing",),
    ),
    # --- Turns -----------------------------------------------------------------------------------
    Mutant(
        "a turn is charged as a try",
        LIFECYCLE,
        'status=Status.PENDING,\n            attempts=F("attempts") - 1,',
        "status=Status.PENDING,",
        (OF_TURNS + "test_a_turn_that_is_over_waits_behind_the_others_and_is_due_at_once",),
    ),
    Mutant(
        "a slot that is given up for others is asked for again at once",
        LIFECYCLE,
        "fairness.ROOM_KEPT if makes_room else IMMEDIATELY",
        "IMMEDIATELY",
        (OF_FAIRNESS + "test_the_room_that_is_made_stays_free_for_the_next_note_too",),
    ),
    Mutant(
        "each turn is news",
        LIFECYCLE,
        "if not taken.turns:  # else it goes on, which is no news",
        "if True:",
        (OF_TURNS + "test_turn_by_turn_each_passage_is_embedded_once_and_the_file_is_read_once",),
    ),
    Mutant(
        "getting as far as before forgives the tries",
        LIFECYCLE,
        'Q(LessThan(F("furthest"), how_far))',
        "Q(pk__isnull=False)",
        (OF_TURNS + "test_an_index_that_never_counts_right_runs_out_of_tries",),
    ),
    Mutant(
        "getting on forgives nothing",
        LIFECYCLE,
        'Q(LessThan(F("furthest"), how_far))',
        "Q(pk=None)",
        (OF_TURNS + "test_many_deaths_on_a_long_way_are_forgiven",),
    ),
    Mutant(
        "the bar goes back",
        LIFECYCLE,
        '"progress_count": F("kept_count"),',
        '"progress_count": 0,',
        (OF_TURNS + "test_the_bar_never_goes_back",),
    ),
    Mutant(
        "what was kept by another splitting is used",
        KEPT,
        "if document.fingerprint != fingerprint or document.kept_epoch is None:",
        "if document.kept_epoch is None:",
        (OF_TURNS + "test_what_was_kept_by_another_splitting_is_done_afresh",),
    ),
    Mutant(
        "what was kept under another name is used",
        "processing/fingerprint.py",
        ", document.filename)",
        ", None)",
        (OF_TURNS + "test_a_name_that_was_given_between_two_turns_is_that_of_all_passages",),
    ),
    Mutant(
        "what nobody finished writing counts",
        KEPT,
        "        chunks.filter(position__gte=document.kept_passages).delete()\n",
        "",
        (OF_TURNS + "test_passages_that_a_worker_wrote_and_did_not_mark_are_written_anew",),
    ),
    Mutant(
        "a late worker adds passages",
        KEPT,
        "            if not _leased(claim).select_for_update().exists():\n"
        "                return False\n            if not first",
        "            if not first",
        (OF_LIFECYCLE + "test_the_write_of_a_late_worker_changes_nothing",),
    ),
    Mutant(
        "a wrong count is kept",
        PIPELINE,
        "        kept.forget(claim)\n",
        "",
        (OF_TURNS + "test_an_index_that_lost_what_was_kept_is_made_afresh_and_not_believed",),
    ),
    Mutant(
        "the batch under way is kept",
        PIPELINE,
        "lease.progress(Stage.EMBED, work.count, total, place, keep=work.count > began)",
        "lease.progress(Stage.EMBED, work.count + 3, total, place, keep=True)",
        (OF_TURNS + "test_a_killed_worker_loses_the_batch_under_way_and_no_more",),
    ),
    Mutant(
        "search shows the reading under way",
        CHUNK,
        'return self.filter(reading=F("document__chunk_reading"))',
        "return self.all()",
        (OF_TURNS + "test_until_the_new_passages_are_complete_search_shows_the_old_ones",),
    ),
    Mutant(
        "a turn has no end",
        HEARTBEAT,
        "now - self._moved > settings.STALL.total_seconds()",
        "False",
        (OF_HEARTBEAT + "test_what_makes_no_progress_is_stopped_and_says_where",),
    ),
    # --- Claims and tries ------------------------------------------------------------------------
    Mutant(
        "claim of what is not pending",
        QUERYSETS,
        "return self.live().filter(status=Status.PENDING, due_at__lte=Now())",
        "return self.live().filter(due_at__lte=Now())",
        (OF_LIFECYCLE + "test_only_the_first_of_two_claims_gets_the_document",),
    ),
    Mutant(
        "claim before it is due",
        QUERYSETS,
        "return self.live().filter(status=Status.PENDING, due_at__lte=Now())",
        "return self.live().filter(status=Status.PENDING)",
        (OF_LIFECYCLE + "test_a_document_that_is_not_due_yet_cannot_be_claimed",),
    ),
    Mutant(
        "tries are not counted",
        LIFECYCLE,
        'attempts=F("attempts") + 1,',
        'attempts=F("attempts"),',
        (OF_LIFECYCLE + "test_a_claim_counts_the_try_and_raises_the_epoch",),
    ),
    Mutant(
        "a death is not counted",
        LIFECYCLE,
        'taken = _give_back(abandoned, lost, "reclaimed", detail, IMMEDIATELY, deaths=deaths)',
        'taken = _give_back(abandoned, lost, "reclaimed", detail, IMMEDIATELY)',
        (OF_LIFECYCLE + "test_a_document_that_kills_three_workers_fails_and_says_so",),
    ),
    Mutant(
        "a death is counted twice",
        LIFECYCLE,
        "deaths = document.deaths + 1",
        "deaths = document.deaths + 2",
        (OF_LIFECYCLE + "test_a_document_that_kills_three_workers_fails_and_says_so",),
    ),
    Mutant(
        "a restart of PostgreSQL is charged",
        LIFECYCLE,
        "    if _give_back(\n        abandoned.interrupted_by_postgres(),",
        "    if _give_back(\n        abandoned.none(),",
        (OF_HEARTBEAT + "test_a_worker_is_not_charged_for_a_restart_of_postgresql",),
    ),
    Mutant(
        "an outage is charged",
        LIFECYCLE,
        '                attempts=F("attempts") - 1,\n                postponed_since',
        "                postponed_since",
        (OF_LIFECYCLE + "test_an_outage_gives_the_try_back",),
    ),
    Mutant(
        "a graceful stop is charged",
        LIFECYCLE,
        '_leased(claim), claim, "handed_back", reason, IMMEDIATELY, attempts=F("attempts") - 1',
        '_leased(claim), claim, "handed_back", reason, IMMEDIATELY',
        (OF_ACTORS + "test_a_shutdown_hands_the_document_to_the_next_worker_at_once",),
    ),
    Mutant(
        "an error of PostgreSQL is taken for one of the document's",
        ACTORS,
        "    except (OperationalError, InterfaceError):\n        raise\n",
        "",
        (OF_ACTORS + "test_an_error_of_postgresql_is_not_the_documents_fault",),
    ),
    Mutant(
        "all that are alive write it into one row at every beat",
        "documents/models/records.py",
        " SELECT %s, statement_timestamp() WHERE NOT EXISTS (",
        " SELECT %s, statement_timestamp() WHERE true OR NOT EXISTS (",
        (OF_HEARTBEAT + "test_of_very_many_that_are_alive_none_waits_for_another_to_say_so",),
    ),
    Mutant(
        "what is blocked at the end is not handed back",
        MIDDLEWARE,
        "        heartbeat.hand_back_all()\n",
        "",
        (OF_PROCESSING_GUARDS + "test_a_worker_that_stops_hands_back_what_is_blocked_in_a_call",),
    ),
    Mutant(
        "a stop that no pipeline hears of",
        MIDDLEWARE,
        "        heartbeat.wind_down()\n",
        "        pass\n",
        (OF_PROCESSING_GUARDS + "test_a_worker_that_is_to_stop_tells_its_pipelines",),
    ),
    # --- Outbox and relay ------------------------------------------------------------------------
    Mutant(
        "no message with the document",
        LIFECYCLE,
        '        _record(document.pk, "registered", origin, by=document.uploaded_by_id)\n'
        "        _post(document.pk, Action.PROCESS, priority=document.priority)\n",
        '        _record(document.pk, "registered", origin, by=document.uploaded_by_id)\n',
        (OF_LIFECYCLE + "test_a_registered_document_is_pending_with_its_message_and_its_event",),
    ),
    Mutant(
        "the message is not of the document's transaction",
        LIFECYCLE,
        '        _record(document.pk, "registered", origin, by=document.uploaded_by_id)\n'
        "        _post(document.pk, Action.PROCESS, priority=document.priority)\n",
        '        _record(document.pk, "registered", origin, by=document.uploaded_by_id)\n'
        "    _post(document.pk, Action.PROCESS)\n",
        (OF_GUARDS + "test_a_document_and_its_message_are_one_commit",),
    ),
    Mutant(
        "the bell rings before the commit",
        "documents/models/records.py",
        "        with connection.cursor() as cursor:\n"
        '            cursor.execute(f"NOTIFY {cls.CHANNEL}")',
        "        with connection.copy().cursor() as cursor:\n"
        '            cursor.execute(f"NOTIFY {cls.CHANNEL}")',
        (OF_GUARDS + "test_the_bell_rings_with_the_commit_and_not_before",),
    ),
    Mutant(
        "the relay deletes before it sends",
        RELAY,
        "    with transaction.atomic():\n        messages = _take_due(room, rounds or Rounds())",
        "    if True:\n"
        "        with transaction.atomic():\n"
        "            messages = _take_due(room, rounds or Rounds())\n"
        "            OutboxMessage.objects.filter(pk__in=[m.pk for m in messages]).delete()",
        (OF_PROCESSING_GUARDS + "test_a_message_that_redis_does_not_take_stays_in_the_outbox",),
    ),
    Mutant(
        "two relays wait for each other",
        RELAY,
        'select_for_update(skip_locked=True, of=["self"])',
        'select_for_update(of=["self"])',
        (OF_RELAY + "test_what_one_relay_is_posting_no_other_posts",),
    ),
    Mutant(
        "two relays post the same",
        RELAY,
        'due.select_for_update(skip_locked=True, of=["self"])',
        "due",
        (OF_RELAY + "test_what_one_relay_is_posting_no_other_posts",),
    ),
    Mutant(
        "lost messages are not posted again",
        RELAY,
        "for document in _lost()[:HEAL_LIMIT]:",
        "for document in Document.objects.none():",
        (OF_RELAY + "test_what_redis_lost_is_posted_again",),
    ),
    Mutant(
        "what waits in Redis counts as lost",
        RELAY,
        "set(posted) - queue.documents_of(actors.process.actor_name)",
        "set(posted)",
        (OF_RELAY + "test_a_message_that_waits_in_redis_or_that_a_worker_has_taken_is_not_lost",),
    ),
    Mutant(
        "a failure ends the relay",
        RELAY,
        '            log.exception("cannot relay just now; trying again")',
        "            raise",
        (OF_RELAY + "test_while_redis_refuses_the_rows_stay_and_the_loop_goes_on",),
    ),
    Mutant(
        "where something is always due, nothing is done to many",
        RELAY,
        "carried_out or is_tick or not posted",
        "not posted",
        (OF_RELAY + "test_where_there_is_always_something_to_post_many_are_requeued_all_the_same",),
    ),
    # --- Those who may be killing workers --------------------------------------------------------
    Mutant(
        "the last try is made among others",
        RELAY,
        "    elif message.document.has_last_chance:",
        "    elif False:",
        (OF_ISOLATION + "test_a_document_at_its_last_chance_is_posted_to_be_alone",),
    ),
    Mutant(
        "alone is in company",
        "processing/isolation.py",
        "if not (_at_work if alone else _alone):",
        "if alone or not _alone:",
        (OF_ISOLATION + "test_who_must_be_alone_waits_for_the_others_and_keeps_new_ones_out",),
    ),
    # --- Outages ---------------------------------------------------------------------------------
    Mutant(
        "claims while a service is away",
        LIFECYCLE,
        "taken = _take(due.exclude(Exists(Outage.objects.all())), worker)",
        "taken = _take(due, worker)",
        (OF_OUTAGES + "test_nothing_is_claimed_while_a_service_is_away",),
    ),
    Mutant(
        "everybody probes",
        OUTAGES,
        "update(retry_at=Now() + settings.LEASE))",
        "update(retry_at=Now()))",
        (
            OF_OUTAGES
            + "test_when_the_time_has_come_one_claim_is_the_probe_and_the_next_waits_again",
        ),
    ),
    Mutant(
        "the end of an outage is not seen",
        PIPELINE,
        "            outages.over(is_fetched)  # from",
        "            pass  # from",
        (
            OF_PROCESSING_GUARDS
            + "test_a_probe_that_got_its_first_passages_into_the_index_ends_the_outage",
        ),
    ),
    Mutant(
        "a late worker opens the circuit",
        LIFECYCLE,
        "            transaction.set_rollback(True)\n    return postponed",
        "            pass\n    return postponed",
        (OF_OUTAGES + "test_a_worker_that_lost_its_lease_says_nothing_of_the_service",),
    ),
    Mutant(
        "an outage of yesterday counts though the document got on",
        LIFECYCLE,
        'Case(When(further, then=None), default=F("postponed_since"))',
        'F("postponed_since")',
        (OF_OUTAGES + "test_outages_before_a_document_got_on_are_forgiven",),
    ),
    Mutant(
        "a probe without a file speaks for the storage",
        "documents/outages.py",
        'if is_fetched else Outage.objects.exclude(service="storage")',
        "if is_fetched else Outage.objects.all()",
        (OF_OUTAGES + "test_a_probe_that_had_its_file_already_says_nothing_of_the_storage",),
    ),
    Mutant(
        "the text of a document that waits is nobody's",
        "processing/reconcile/objects.py",
        "epoch not in (document.indexed_epoch, document.kept_epoch)",
        "epoch != document.indexed_epoch",
        (OF_RECONCILE + "test_a_text_is_kept_with_which_the_next_turn_goes_on",),
    ),
    # --- From the file to the index --------------------------------------------------------------
    Mutant(
        "the file is not compared with its hash",
        PIPELINE,
        "if digest.hexdigest() != document.sha256:",
        "if False:",
        (OF_PIPELINE + "test_a_changed_object_fails_the_document_for_good",),
    ),
    Mutant(
        "a text of before a restore is an outage",
        TEXTS,
        "    except FileExistsError:",
        "    except ZeroDivisionError:",
        (
            OF_PIPELINE
            + "test_a_text_of_a_time_that_the_database_does_not_know_any_more_is_replaced",
        ),
    ),
    Mutant(
        "ready before the count",
        PIPELINE,
        "    if (count := vectors.count(document.pk)) != work.passages:",
        "    lifecycle.succeed(claim, chunks)\n"
        "    if (count := vectors.count(document.pk)) != work.passages:",
        (OF_PIPELINE + "test_a_count_that_is_not_exact_is_not_ready",),
    ),
    Mutant(
        "the points are not counted",
        PIPELINE,
        "    if (count := vectors.count(document.pk)) != work.passages:",
        "    if (count := work.passages) != work.passages:",
        (OF_PIPELINE + "test_a_count_that_is_not_exact_is_not_ready",),
    ),
    Mutant(
        "fewer points than passages are enough",
        PIPELINE,
        "    if (count := vectors.count(document.pk)) != work.passages:",
        "    if (count := vectors.count(document.pk)) > work.passages:",
        (OF_PIPELINE + "test_a_count_that_is_not_exact_is_not_ready",),
    ),
    Mutant(
        "the tail of a longer index stays",
        PIPELINE,
        "        vectors.trim(document.pk, keep=work.passages, name=index.collection)\n",
        "        pass\n",
        (OF_PIPELINE + "test_a_shorter_index_leaves_no_tail_of_the_longer_one",),
    ),
    Mutant(
        "the passages of the earlier index stay",
        PIPELINE,
        "    kept.sweep(document, work.reading)\n",
        "",
        (OF_TURNS + "test_until_the_new_passages_are_complete_search_shows_the_old_ones",),
    ),
    Mutant(
        "a late sweep takes the passages of a later reading",
        KEPT,
        "Chunk.objects.filter(document=document.pk, reading__lt=reading)",
        "Chunk.objects.filter(document=document.pk).exclude(reading=reading)",
        (OF_TURNS + "test_a_sweep_that_comes_late_leaves_the_reading_under_way_alone",),
    ),
    Mutant(
        "a connection is held while a file is fetched",
        PIPELINE,
        "    release()\n    if work is None:",
        "    if work is None:",
        (OF_PIPELINE + "test_no_connection_is_held_while_bytes_move_or_a_file_is_parsed",),
    ),
    Mutant(
        "a parser without a clock",
        PIPELINE,
        "timeout=settings.PARSE_TIMEOUT,",
        "timeout=86400.0,",
        (OF_PROCESSING_GUARDS + "test_the_parser_has_the_limits_of_the_settings",),
    ),
    Mutant(
        "a parser's clock is not watched",
        "processing/parsing/client.py",
        "        while self._waited <= timeout:\n",
        "        while True:\n",
        (OF_SANDBOX + "test_a_loop_is_stopped_by_the_wall_clock",),
    ),
    Mutant(
        "a parser without a limit on memory",
        "processing/parsing/child.py",
        "    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))\n",
        "",
        (OF_SANDBOX + "test_a_memory_eater_is_told_that_the_document_is_too_large",),
    ),
    # --- Fair slots ------------------------------------------------------------------------------
    Mutant(
        "a user may have all the slots while another waits",
        FAIRNESS,
        "has_his_share = 2 * own > running",
        "has_his_share = own > running",
        (OF_FAIRNESS + "test_a_second_document_gives_way_to_another_users_first",),
    ),
    Mutant(
        "who had the last turn has the next one, too",
        FAIRNESS,
        "and had_the_last",
        "and False",
        (OF_FAIRNESS + "test_with_one_slot_turns_alternate_however_long_one_user_waited_first",),
    ),
    Mutant(
        "a user's claims at once do not see each other",
        FAIRNESS,
        "ELSE pg_advisory_xact_lock(",
        "ELSE pg_advisory_xact_lock_shared(",
        (OF_FAIRNESS + "test_of_four_workers_that_claim_at_once_no_user_gets_more_than_half",),
    ),
    Mutant(
        "a user's claims wait for each other though nobody else waits",
        FAIRNESS,
        "THEN pg_advisory_xact_lock_shared(",
        "THEN pg_advisory_xact_lock(",
        (OF_FAIRNESS + "test_where_nobody_else_waits_a_users_claims_wait_for_none_of_each_other",),
    ),
    Mutant(
        "who counts does not see what was begun when nobody else waited",
        FAIRNESS,
        "THEN pg_advisory_xact_lock_shared({LOCK}, this.owner::int)",
        "THEN pg_sleep(0)",
        (OF_FAIRNESS + "test_who_comes_when_another_waits_sees_what_was_begun_before",),
    ),
    Mutant(
        "bulk is begun while something interactive waits",
        FAIRNESS,
        "return better or (other if has_his_share else None)",
        "return other if has_his_share else None",
        (OF_FAIRNESS + "test_bulk_is_not_begun_while_something_interactive_waits",),
    ),
    Mutant(
        "an older message begins a last chance beside others",
        LIFECYCLE,
        "        due = due.without_last_chance()\n",
        "        pass\n",
        (OF_ISOLATION + "test_an_older_message_begins_no_last_chance_beside_others",),
    ),
    Mutant(
        "a refused one takes whoever may be what kills workers",
        FAIRNESS,
        "Document.objects.due().without_last_chance().filter(pk=document_id)",
        "Document.objects.due().filter(pk=document_id)",
        (
            OF_FAIRNESS
            + "test_who_may_be_what_kills_workers_is_not_begun_by_anybody_who_comes_along",
        ),
    ),
    Mutant(
        "room is made for those who wait for a service",
        FAIRNESS,
        " AND NOT EXISTS (SELECT FROM documents_outage)",
        "",
        (OF_FAIRNESS + "test_nobody_makes_room_for_those_who_wait_for_a_service",),
    ),
    Mutant(
        "a batch takes as long as it likes",
        PIPELINE,
        "        size = round(max(1, min(len(batch) * share, settings.EMBEDDING_BATCH_SIZE)))\n",
        "",
        (OF_TURNS + "test_with_a_slow_embedding_service_batches_are_smaller",),
    ),
    Mutant(
        "a turn never ends early",
        HEARTBEAT,
        "        if must_make_room:\n",
        "        if must_make_room and False:\n",
        (OF_FAIRNESS + "test_a_turn_ends_early_when_its_user_has_too_many_and_another_waits",),
    ),
    # --- Reading in pieces -----------------------------------------------------------------------
    Mutant(
        "what is there already is read again",
        DRAFT,
        "self._is_kept = self._unit < self._start",
        "self._is_kept = False",
        (OF_PIECES + "test_another_process_goes_on_at_any_cut",),
    ),
    Mutant(
        "a parser does not stop at a cut in time",
        DRAFT,
        "        if is_late:\n            raise Paused\n",
        "",
        (OF_PIECES + "test_a_child_stops_at_a_cut_before_it_has_used_up_its_time",),
    ),
    Mutant(
        "a turn reads from the first page",
        PIPELINE,
        "            start=work.unit,\n",
        "",
        (OF_PIECES + "test_turn_by_turn_no_page_is_read_twice",),
    ),
    Mutant(
        "a parser that has used up its time ends the document",
        SANDBOX,
        "if self._is_spent(ending, error) and (self._got_on or self._can_pass_over()):",
        "if False:",
        (OF_PIECES + "test_memory_that_one_child_has_used_up_is_not_the_documents_fault",),
    ),
    Mutant(
        "a part that takes too long ends the document",
        SANDBOX,
        " or self._can_pass_over()):",
        "):",
        (OF_PIECES + "test_a_part_that_uses_up_a_child_by_itself_is_passed_over_and_said",),
    ),
    Mutant(
        "parts are passed over without end",
        SANDBOX,
        " or len(self._pass_over) == MAX_PASSED_OVER",
        "",
        (OF_PIECES + "test_but_not_very_many_in_a_row",),
    ),
    Mutant(
        "what was passed over is come to again",
        DRAFT,
        "        self._is_held = True\n",
        "",
        (
            OF_PIECES + "test_a_part_that_uses_up_a_child_by_itself_is_passed_over_and_said",
            OF_PIECES + "test_the_pages_before_one_that_uses_up_a_child_stay",
        ),
    ),
    Mutant(
        "a part that is there already is read again",
        DRAFT,
        "                if last < self._start:\n",
        "                if False:\n",
        (OF_PIECES + "test_a_part_that_is_there_already_is_not_read_again",),
    ),
    Mutant(
        "pages of what is attached are read again",
        DRAFT,
        "return self._begin_outer(place) if self._outer else self._begin_cut(place)",
        "return self._begin_cut(place)",
        (OF_PIECES + "test_no_page_of_a_document_inside_of_another_is_read_twice",),
    ),
    Mutant(
        "a parser's first death at a place is its last",
        SANDBOX,
        "tries=MAX_DEATHS",
        "tries=1",
        (OF_PIECES + "test_a_parser_that_dies_once_costs_one_piece",),
    ),
    Mutant(
        "a hijacked parser writes text without end",
        SANDBOX,
        "        if self.chars > self.limits.chars:",
        "        if False:",
        (OF_SANDBOX + "test_nor_more_text_than_a_document_may_have",),
    ),
    Mutant(
        "a hijacked parser writes a line without end",
        "processing/parsing/client.py",
        "            if size > most:\n",
        "            if False:\n",
        (OF_SANDBOX + "test_not_even_a_hijacked_child_writes_more_than_the_longest_answer",),
    ),
    # --- The worker's clocks ---------------------------------------------------------------------
    Mutant(
        "a heartbeat beyond the hard limit",
        HEARTBEAT,
        "leases = [lease for lease in list(_leases.values()) if now - lease.began < limit]",
        "leases = list(_leases.values())",
        (OF_HEARTBEAT + "test_a_lease_over_the_hard_limit_is_not_renewed",),
    ),
    Mutant(
        "a lease that only the database ends",
        HEARTBEAT,
        "return self.lost or time.monotonic() - self.renewed > settings.LEASE.total_seconds()",
        "return self.lost",
        (OF_HEARTBEAT + "test_a_worker_that_could_not_renew_for_a_lease_stops_by_its_own_clock",),
    ),
    Mutant(
        "a lost lease is not noticed",
        HEARTBEAT,
        "            lease.lost = True",
        "            pass",
        (OF_HEARTBEAT + "test_a_lease_that_another_worker_took_is_lost_and_the_others_are_not",),
    ),
    Mutant(
        "a dead session is nothing to go by",
        QUERYSETS,
        "Q(lease_expires_at__lt=Now()) | missed_a_beat & gone,",
        "Q(lease_expires_at__lt=Now()),",
        (
            OF_GUARDS
            + "test_half_a_lease_is_enough_to_know_that_a_worker_without_a_session_is_dead",
        ),
    ),
    # --- Uploads ---------------------------------------------------------------------------------
    Mutant(
        "a duplicate that the constraint refused is a success",
        LIFECYCLE,
        "        raise DuplicateFilename(existing) from None",
        "        pass",
        (OF_LIFECYCLE + "test_the_same_name_again_is_a_duplicate_and_leaves_no_message",),
    ),
    Mutant(
        "an upload that lost leaves its object",
        UPLOADS,
        "        default_storage.delete(document.storage_key)\n",
        "        pass\n",
        (OF_RACES + "test_an_upload_that_runs_into_another_is_refused_and_its_object_deleted",),
    ),
    Mutant(
        "a connection is held while an upload is stored",
        UPLOADS,
        "not what the client said\n    release()\n",
        "not what the client said\n",
        (OF_UPLOADS + "test_a_script_holds_no_connection_while_its_bytes_move",),
    ),
    # --- Deleting and replacing ------------------------------------------------------------------
    Mutant(
        "replacing purges the old one at once",
        LIFECYCLE,
        "            new.replaces_id = old.pk\n",
        "            new.replaces_id = old.pk\n"
        "            Document.objects.filter(pk=old.pk).update(purging_at=Now())\n",
        (OF_LIFECYCLE + "test_the_old_document_is_searchable_until_its_replacement_is_ready",),
    ),
    Mutant(
        "a purge does not wait for the replacement",
        QUERYSETS,
        "purged_at=None\n        ).exclude(self._awaits_replacement())",
        "purged_at=None\n        )",
        (OF_LIFECYCLE + "test_what_waits_for_its_replacement_is_not_purged",),
    ),
    Mutant(
        "requeuing makes it vanish from search",
        LIFECYCLE,
        "            priority=priority,\n",
        "            priority=priority,\n            indexed_at=None,\n",
        (OF_LIFECYCLE + "test_a_ready_document_stays_searchable_while_it_is_processed_anew",),
    ),
    Mutant(
        "a purge that has begun can be undone",
        LIFECYCLE,
        "deleted = Document.objects.filter(pk=document_id, purging_at=None)",
        "deleted = Document.objects.filter(pk=document_id)",
        (OF_LIFECYCLE + "test_a_purge_that_has_begun_cannot_be_undone",),
    ),
    # --- Knowledge bases that are deleted --------------------------------------------------------
    Mutant(
        "a deleted knowledge base takes uploads",
        "documents/migrations/0023_removal.py",
        "AND deleted_at IS NULL FOR KEY SHARE;",
        "FOR KEY SHARE;",
        (OF_REMOVAL + "test_an_upload_at_the_moment_of_the_deletion_finds_it_gone",),
    ),
    Mutant(
        "a deleted knowledge base does not wait for uploads, nor they for it",
        "documents/migrations/0023_removal.py",
        "AND deleted_at IS NULL FOR KEY SHARE;",
        "AND deleted_at IS NULL;",
        (OF_REMOVAL + "test_an_upload_at_the_moment_of_the_deletion_finds_it_gone",),
    ),
    Mutant(
        "a deleted knowledge base is deleted by who is no owner any more",
        REMOVAL,
        " or knowledge_base.role_of(by) != Membership.Role.OWNER:",
        ":",
        (OF_REMOVAL + "test_who_has_just_been_demoted_does_not_delete_it",),
    ),
    Mutant(
        "a deleted knowledge base is deleted by two at once",
        REMOVAL,
        "KnowledgeBase.objects.select_for_update().filter(",
        "KnowledgeBase.objects.filter(",
        (OF_REMOVAL + "test_of_two_clicks_one_deletes_it",),
    ),
    Mutant(
        "a deleted knowledge base is seen",
        ACCESS,
        "super().get_queryset().filter(deleted_at=None)",
        "super().get_queryset()",
        (OF_REMOVAL + "test_from_then_on_it_is_there_for_nobody",),
    ),
    Mutant(
        "a deleted knowledge base's documents are seen by a superuser",
        QUERYSETS,
        "return self.filter(knowledge_base__deleted_at=None)",
        "return self",
        (OF_REMOVAL + "test_from_then_on_it_is_there_for_nobody",),
    ),
    Mutant(
        "a deleted knowledge base is brought back by who renames it",
        ACCESS,
        'kept = {"id", "deleted_at", "deleted_by"}',
        'kept = {"id"}',
        (OF_REMOVAL + "test_who_renames_it_at_that_moment_does_not_bring_it_back",),
    ),
    Mutant(
        "a deleted knowledge base keeps its members",
        REMOVAL,
        "        if relation.on_delete is models.CASCADE:",
        "        if False:",
        (OF_REMOVAL + "test_from_then_on_it_is_there_for_nobody",),
    ),
    Mutant(
        "a deleted knowledge base loses rows before their points and objects are gone",
        REMOVAL,
        "base.document_set.exclude(purged_at=None).order_by()",
        "base.document_set.order_by()",
        (OF_REMOVAL + "test_while_the_index_is_away_the_rows_stay",),
    ),
    Mutant(
        "a deleted knowledge base is removed by relays that wait for each other",
        REMOVAL,
        "going.select_for_update(skip_locked=True, no_key=True, of=",
        "going.select_for_update(no_key=True, of=",
        (OF_REMOVAL + "test_of_two_relays_one_takes_a_slice",),
    ),
    Mutant(
        "a deleted knowledge base leaves numbers that are wrong",
        REMOVAL,
        "if base.document_set.exists() or of_base.filter(is_sum=False).exists():",
        "if base.document_set.exists():",
        (OF_REMOVAL + "test_what_is_counted_adds_up_before_its_numbers_go",),
    ),
    Mutant(
        "a deleted knowledge base's documents can be restored",
        LIFECYCLE,
        'deleted_at=Coalesce("deleted_at", Now()), purging_at=Now(), **_NO_LEASE',
        'deleted_at=Coalesce("deleted_at", Now()), **_NO_LEASE',
        (OF_REMOVAL + "test_nobody_brings_a_document_back",),
    ),
    Mutant(
        "a deleted knowledge base's documents are purged under their workers",
        LIFECYCLE,
        "_post(in_work, Action.PURGE, priority=Priority.BULK, delay=2 * settings.LEASE)",
        "_post(in_work, Action.PURGE, priority=Priority.BULK)",
        (OF_REMOVAL + "test_what_a_worker_has_is_purged_when_he_must_have_noticed",),
    ),
    Mutant(
        "a deleted knowledge base leaves points in a retired index",
        PIPELINE,
        "    collections = generations.known()\n    release()\n    for name",
        "    collections = {each.collection for each in generations.written()}\n"
        "    release()\n    for name",
        (OF_REMOVAL + "test_points_in_a_retired_index_go_too",),
    ),
    # --- What is forgotten -----------------------------------------------------------------------
    Mutant(
        "how a document came is forgotten",
        "documents/history.py",
        'DocumentEvent.objects.exclude(kind__in=["registered", "renamed", "moved"])',
        "DocumentEvent.objects.all()",
        (OF_HISTORY + "test_events_go_but_how_a_document_came",),
    ),
    Mutant(
        "tombstones are forgotten at once",
        "documents/history.py",
        "Document.objects.filter(purged_at__lt=_long_ago())",
        "Document.objects.exclude(purged_at=None)",
        (OF_HISTORY + "test_tombstones_go_with_their_events_and_what_is_deleted_only_stays",),
    ),
    Mutant(
        "sets under way are forgotten",
        "documents/history.py",
        "BulkAction.objects.filter(finished_at__lt=_long_ago())",
        "BulkAction.objects.filter(created_at__lt=_long_ago())",
        (OF_HISTORY + "test_finished_sets_go_and_those_under_way_stay",),
    ),
    # --- Limits ----------------------------------------------------------------------------------
    Mutant(
        "a limit is not exact when two come at once",
        LIMITS,
        """        _lock(bounds)
        were = [_numbers""",
        """        were = [_numbers""",
        (OF_LIMITS + "test_of_two_at_the_last_free_place_one_gets_in",),
    ),
    Mutant(
        "a limit is looked at before only",
        LIMITS,
        "            _refuse_beyond(bound, before, _numbers(bound))",
        "            pass",
        (OF_LIMITS + "test_of_two_at_the_last_free_place_one_gets_in",),
    ),
    Mutant(
        "a limit refuses what does not make it more",
        LIMITS,
        "number > most and number > before[kind]:",
        "number > most:",
        (OF_LIMITS + "test_who_has_too_much_already_may_replace_with_less",),
    ),
    Mutant(
        "a limit is not asked by who restores",
        LIMITS,
        """    with kept(_of_documents([document_id])):
        return""",
        """    if True:
        return""",
        (OF_LIMITS + "test_what_is_restored_needs_a_place",),
    ),
    Mutant(
        "a limit of the admin is not looked at",
        LIMITS,
        "return Bound(whose, pk, usual | said)",
        "return Bound(whose, pk, usual)",
        (OF_LIMITS + "test_the_admin_says_otherwise_of_one",),
    ),
    Mutant(
        "a limit of uploads is kept by a dead process",
        LIMITS,
        "            rows.filter(owner=bound.owner, until__lt=Now()).delete()\n",
        "",
        (OF_LIMITS + "test_an_upload_that_fails_or_whose_process_died_keeps_no_place",),
    ),
    Mutant(
        "a limit of uploads lets two in at the last place",
        LIMITS,
        """    with transaction.atomic():
        _lock(bounds)
        for bound""",
        """    with transaction.atomic():
        for bound""",
        (OF_LIMITS + "test_two_uploads_do_not_both_take_the_one_turn",),
    ),
    # --- Documents that are moved ----------------------------------------------------------------
    Mutant(
        "what was moved meanwhile is replaced where it was",
        LIFECYCLE,
        "filter(pk=old.pk, knowledge_base=new.knowledge_base_id)",
        "filter(pk=old.pk)",
        (
            OF_MOVING
            + "test_what_moves_while_its_replacement_is_on_its_way_is_no_business_of_who_sends_it",
        ),
    ),
    Mutant(
        "what is moved forgets where its objects are",
        LIFECYCLE,
        '        stored_in=Coalesce("stored_in", "knowledge_base_id"),\n',
        "",
        (OF_MOVING + "test_its_objects_stay_and_go_with_it",),
    ),
    Mutant(
        "what is moved on forgets where its objects are",
        LIFECYCLE,
        'stored_in=Coalesce("stored_in", "knowledge_base_id")',
        'stored_in=F("knowledge_base_id")',
        (OF_MOVING + "test_its_objects_stay_and_go_with_it",),
    ),
    Mutant(
        "what is moved may be a worker's",
        LIFECYCLE,
        ".exclude(status=Status.PROCESSING).filter(pk__in=document_ids)\n",
        ".filter(pk__in=document_ids)\n",
        (OF_MOVING + "test_not_while_a_worker_has_it",),
    ),
    Mutant(
        "what is moved keeps the points of a turn",
        LIFECYCLE,
        """        fingerprint="",  # what a turn has kept has points of the knowledge base before
        kept_epoch=None,
""",
        "",
        (OF_MOVING + "test_what_a_turn_has_kept_is_done_again",),
    ),
    Mutant(
        "what is moved leaves its points behind",
        LIFECYCLE,
        "        _post(indexed, Action.MOVE)",
        "        pass",
        (OF_MOVING + "test_the_relay_and_a_worker_do_it",),
    ),
    Mutant(
        "what is moved is moved by a set of those it has left",
        "documents/bulk.py",
        "pk__in=ids, knowledge_base=bulk.knowledge_base_id",
        "pk__in=ids",
        (OF_MOVING + "test_a_set_that_was_frozen_before_is_no_business_of_its_people_any_more",),
    ),
    Mutant(
        "who has lost the right goes on with many documents",
        "documents/bulk.py",
        " if _may_still(bulk) else 0\n",
        "\n",
        (
            OF_BULK + "test_who_loses_the_right_gets_no_further",
            OF_BULK + "test_nor_does_an_operator",
        ),
    ),
    Mutant(
        "many that are restored wait for one that is, and it for them",
        LIMITS,
        "    with kept(_of_documents(document_ids)):\n"
        "        return lifecycle.restore_all(still(document_ids), by)\n",
        "    chosen = still(document_ids)\n"
        "    with kept(_of_documents(document_ids)):\n"
        "        return lifecycle.restore_all(chosen, by)\n",
        (
            OF_LIMITS
            + "test_many_that_are_restored_hold_no_document_while_they_wait_for_the_limits",
        ),
    ),
    Mutant(
        "undo brings back what another one deleted",
        "documents/selection.py",
        "[each for each in chosen if each.deleted_at is None]",
        "chosen",
        (OF_SELECTION + "test_undo_brings_back_nothing_that_was_deleted_before",),
    ),
    Mutant(
        "a new index takes the points of what is being read",
        "processing/reembed.py",
        "            if kept.is_idle(document):  # else",
        "            if True:  # else",
        (OF_REEMBED + "test_points_of_what_is_read_anew_meanwhile_are_left_to_its_worker",),
    ),
    Mutant(
        "what is moved goes with what it has left",
        LIFECYCLE,
        "Document.objects.filter(pk__in=document_ids, knowledge_base=knowledge_base_id)",
        "Document.objects.filter(pk__in=document_ids)",
        (OF_MOVING + "test_what_moves_out_of_one_that_is_being_deleted_is_not_taken_along",),
    ),
    Mutant(
        "what is moved on has points where it was between",
        PIPELINE,
        "not in (None, said):",
        "is not None and said is None:",
        (OF_MOVING + "test_moved_on_while_its_points_follow_it_ends_where_it_is",),
    ),
    Mutant(
        "what is moved and astray is not noticed",
        "processing/reconcile/index.py",
        "if bases.get(document_id) == base or document_id in seen:",
        "if document_id in bases or document_id in seen:",
        (OF_MOVING + "test_a_lost_message_is_found_by_the_points",),
    ),
    Mutant(
        "what is moved needs no right there",
        "documents/api.py",
        "target = None if to is None else editable_knowledge_base(request.user, to)",
        "target = None if to is None else KnowledgeBase.objects.get(slug=to)",
        (OF_MOVING + "test_who_may_not_change_both_moves_nothing",),
    ),
    # --- Search ----------------------------------------------------------------------------------
    Mutant(
        "search finds what was deleted",
        QUERYSETS,
        "            Q(deleted_at=None) | self._awaits_replacement(), purging_at=None\n",
        "            purging_at=None\n",
        (OF_SEARCH + "test_a_deleted_document_is_not_found_though_its_points_are_still_there",),
    ),
    Mutant(
        "search finds what the user may not see",
        "search/retrieval.py",
        "_document_filter(query), knowledge_base__in=knowledge_base_ids",
        "_document_filter(query)",
        (OF_SEARCH + "test_a_point_in_the_wrong_knowledge_base_is_not_found",),
    ),
    # --- What clients send -----------------------------------------------------------------------
    Mutant(
        "an Idempotency-Key answers another request, too",
        "documents/idempotency.py",
        "if known.fingerprint != self._fingerprint():",
        "if False:",
        (OF_IDEMPOTENCY + "test_another_request_with_the_key_is_refused",),
    ),
    Mutant(
        "an Idempotency-Key is everybody's",
        "documents/idempotency.py",
        "filter(user=self.user, key=self.key).first()",
        "filter(key=self.key).first()",
        (OF_IDEMPOTENCY + "test_a_key_is_its_users_own",),
    ),
    Mutant(
        "of two requests at once both do it",
        UPLOADS,
        "        once.remember(document.pk)\n",
        "",
        (OF_IDEMPOTENCY + "test_an_upload_whose_answer_was_lost_is_made_once",),
    ),
    Mutant(
        "a slug tells that another has it",
        "documents/models/access.py",
        'return f"{stem}-{end}"',
        "return stem",
        (
            "tests/documents/test_slugs.py::test_a_name_that_a_hidden_one_has_is_answered_as_a_free_one",
        ),
    ),
    Mutant(
        "what the API does not know is ignored",
        "lumikb/strictness.py",
        "if unknown := set(sent) - known - BROWSERS_OWN:",
        "if unknown := set():",
        (OF_STRICTNESS + "test_a_query_parameter_that_is_not_known_is_refused_by_its_name",),
    ),
    Mutant(
        "a network may try as many names as it likes",
        "lumikb/throttle.py",
        "return settings.AXES_FAILURE_LIMIT if locks_out else failures",
        "return failures",
        (OF_SECURITY + "test_who_tries_many_names_from_one_address_is_slowed",),
    ),
    Mutant(
        "staff may try which rows there are",
        "lumikb/adminsite.py",
        "if not model_admin.has_view_or_change_permission(request):",
        "if False:",
        (
            "tests/documents/test_admin.py::"
            "test_staff_without_permission_cannot_try_which_rows_there_are",
        ),
    ),
    # --- Reconciling -----------------------------------------------------------------------------
    Mutant(
        "an unreachable Qdrant is an empty one",
        VECTORS,
        '        raise ServiceUnavailable("vectors", reason) from error',
        "        return",
        (
            OF_VECTORS + "test_nobody_listening_is_an_outage",
            OF_RECONCILE
            + "test_a_qdrant_that_cannot_tell_makes_nobody_requeued_and_nothing_deleted",
        ),
    ),
    Mutant(
        "any 404 is an empty Qdrant",
        VECTORS,
        "            if not _client().collection_exists(name or collection()):",
        "            if True:",
        (OF_VECTORS + "test_a_404_that_qdrant_did_not_say_is_an_outage_and_no_empty_index",),
    ),
    Mutant(
        "mended before the listing is whole",
        "processing/reconcile/__init__.py",
        "for finding in _look_over(scan, results, mark):",
        "for finding in scan.find(mark) if scan.in_slices else scan.find():",
        (
            OF_RECONCILE
            + "test_a_listing_that_is_not_whole_makes_nobody_requeued_and_nothing_deleted",
            OF_RECONCILE
            + "test_a_qdrant_that_goes_away_in_the_midst_of_a_scan_ends_it_before_anything_is_done",
        ),
    ),
    Mutant(
        "young objects are orphans too",
        "processing/reconcile/objects.py",
        "return timezone.now() - self.modified_at > ORPHAN_AGE",
        "return True",
        (OF_RECONCILE + "test_an_object_without_a_row_is_deleted_when_it_is_older_than_a_day",),
    ),
    Mutant(
        "the files of a database that is empty are orphans",
        "processing/reconcile/objects.py",
        "    if not Document.objects.exists():",
        "    if False:",
        (OF_RECONCILE + "test_files_are_not_deleted_because_the_database_is_a_new_one",),
    ),
    Mutant(
        "no second look",
        "processing/reconcile/__init__.py",
        "            if finding.persists():\n",
        "            if True:\n",
        (
            OF_RECONCILE
            + "test_a_document_that_is_being_processed_at_the_second_look_is_left_alone",
        ),
    ),
    Mutant(
        "two reconcilers at once",
        "processing/flight.py",
        "yield Flight(session) if row and row[0] else None",
        "yield Flight(session)",
        (OF_RECONCILE + "test_a_second_run_is_refused_while_the_first_is_under_way",),
    ),
    # --- Deadlines -------------------------------------------------------------------------------
    Mutant(
        "no deadline for a call to the embedding service",
        "processing/index/gateway.py",
        "with within(settings.EMBEDDING_TIMEOUT):",
        "with within(3600):",
        (OF_DEADLINES + "test_the_embedding_service_has_its_time_in_all",),
    ),
    Mutant(
        "no deadline for the order of a reranking model",
        "processing/index/gateway.py",
        "with within(settings.RERANK_TIMEOUT):",
        "with within(3600):",
        ("tests/search/test_reranking.py::test_it_has_so_many_seconds",),
    ),
    Mutant(
        "similar documents of a knowledge base that is another's",
        "search/similar.py",
        "documents = Document.objects.searchable().filter(knowledge_base__in=knowledge_bases)",
        "documents = Document.objects.searchable()",
        (
            "tests/search/test_similar.py::"
            "test_what_is_deleted_or_not_permitted_is_not_there_whatever_the_index_says",
        ),
    ),
    Mutant(
        "no deadline for a call to Qdrant",
        VECTORS,
        "with within(settings.QDRANT_TIMEOUT):",
        "with within(3600):",
        (OF_DEADLINES + "test_qdrant_has_its_time_in_all",),
    ),
    Mutant(
        "no deadline for a command to Redis",
        "lumikb/broker.py",
        "with within(self.timeout):",
        "with within(3600):",
        (OF_DEADLINES + "test_redis_has_its_time_in_all",),
    ),
    Mutant(
        "a folder of S3's is an object in a scan",
        "lumikb/storage.py",
        'if not each["Key"].endswith("/"):',
        "if each:",
        ("tests/lumikb/test_storage.py::" + OF_FOLDERS,),
    ),
    Mutant(
        "a folder of S3's is a file in a list",
        "lumikb/storage.py",
        'files += [key for key in keys if not key.endswith("/")]',
        "files += keys",
        ("tests/lumikb/test_storage.py::" + OF_FOLDERS,),
    ),
    Mutant(
        "no deadline for a call to S3",
        "lumikb/storage.py",
        "with within(self.timeout), _translated(name):",
        "with within(3600), _translated(name):",
        (OF_DEADLINES + "test_s3_has_its_time_for_all_its_tries",),
    ),
    Mutant(
        "no deadline for a block of an object",
        "lumikb/storage.py",
        "with within(self._timeout), _translated(self._name):",
        "with within(3600), _translated(self._name):",
        (OF_DEADLINES + "test_a_block_of_an_object_has_its_time_in_all",),
    ),
    Mutant(
        "S3 is tried again too late",
        "lumikb/storage.py",
        "return False if seconds_left() < 2 ** (self.tries - 2) else None",
        "return None",
        (OF_DEADLINES + "test_s3_is_not_tried_again_when_that_would_come_too_late",),
    ),
    Mutant(
        "who searches waits as long as a worker",
        "search/retrieval.py",
        "with within(settings.REQUEST_TIMEOUT):\n        index",
        "with within(3600):\n        index",
        (OF_DEADLINES + "test_who_searches_waits_no_longer_than_his_request_may",),
    ),
    Mutant(
        "who uploads waits as long as a worker",
        UPLOADS,
        "with within(settings.REQUEST_TIMEOUT):\n            default_storage.save",
        "with within(3600):\n            default_storage.save",
        (OF_DEADLINES + "test_who_uploads_waits_no_longer_than_his_request_may",),
    ),
    Mutant(
        "a client that is built elsewhere",
        "search/passages.py",
        "def fits(passages",
        "def ask(url: str) -> None:\n    import httpx\n\n    httpx.get(url)\n\n\ndef fits(passages",
        (OF_DEADLINES + "test_clients_are_built_where_their_deadlines_are_and_nowhere_else",),
    ),
    Mutant(
        "what is written while a shard is made anew is lost with it",
        "deploy/local/qdrant/store.py",
        "        rebuild.catch_up(shard)\n",
        "",
        (OF_QDRANT + "test_what_is_written_while_a_shard_is_made_anew_is_in_both",),
    ),
    Mutant(
        "a crash between two moves of a shard loses it",
        "deploy/local/qdrant/store.py",
        "                replaced.rename(whole)",
        "                pass",
        (OF_QDRANT + "test_a_crash_while_a_shard_is_made_anew_loses_nothing",),
    ),
    Mutant(
        "the reconciler's session has the time of all the others",
        "processing/flight.py",
        "unpooled(statement_timeout=ANSWER_SECONDS)",
        "unpooled()",
        (OF_DEADLINES + "test_the_session_of_a_reconciler_has_a_deadline",),
    ),
    Mutant(
        "a pool that asks more and more seldom",
        "lumikb/postgresql/base.py",
        "RECONNECT_SECONDS = 4.0",
        "RECONNECT_SECONDS = 300.0",
        (OF_DEADLINES + "test_a_pool_notices_soon_that_postgresql_is_back",),
    ),
    Mutant(
        "a pool that gives up",
        "lumikb/postgresql/base.py",
        'pool["reconnect_failed"] = ConnectionPool.check',
        'pool["reconnect_failed"] = None',
        (OF_DEADLINES + "test_a_pool_notices_soon_that_postgresql_is_back",),
    ),
    Mutant(
        "a slow Redis keeps the transaction open",
        RELAY,
        "if time.monotonic() > give_up_at:",
        "if False:",
        (OF_DEADLINES + "test_a_slow_redis_keeps_no_transaction_open",),
    ),
    # --- What the monitoring sees ----------------------------------------------------------------
    Mutant(
        "a run that could not tell counts as a success",
        "processing/reconcile/__init__.py",
        'if not dry_run and not any(row["skipped"] for row in report.findings):',
        "if not dry_run:",
        (OF_ALERTS + "test_reconcile_cannot_tell",),
    ),
    Mutant(
        "a relay that cannot post ticks all the same",
        RELAY,
        "            posted = post_due(rounds)\n",
        "            Heartbeat.beat(Heartbeat.Kind.RELAY)\n            posted = post_due(rounds)\n",
        (OF_ALERTS + "test_a_relay_that_cannot_post_does_not_tick",),
    ),
    Mutant(
        "a disk that is silent holds up who asks for health",
        "lumikb/probes.py",
        "wait(answers.values(), timeout=seconds)",
        "wait(answers.values())",
        (OF_HEALTH + "test_a_disk_that_is_silent_costs_one_thread_and_holds_nobody_up",),
    ),
    # --- Slow clients, and answers ---------------------------------------------------------------
    Mutant(
        "a byte now and then is enough",
        "lumikb/serving/patience.py",
        "min(SILENCE, self._left + moved / SLOWEST)",
        "SILENCE",
        (OF_SERVING + "test_who_sends_a_byte_now_and_then_is_told_and_dropped",),
    ),
    Mutant(
        "who does not take his answer is waited for",
        "lumikb/serving/conversation.py",
        "            patience.spend(time.monotonic() - began)\n",
        "",
        (OF_SERVING + "test_who_does_not_take_his_answer_is_dropped",),
    ),
    Mutant(
        "strangers may send files",
        "lumikb/serving/admission.py",
        "        known = False  # the application will say what is wrong\n    finally:\n",
        "        known = False\n    finally:\n        known = True\n",
        (OF_SERVING + "test_what_may_be_sent_depends_on_who_sends",),
    ),
    Mutant(
        "one address may have all threads",
        "lumikb/serving/turns.py",
        "asyncio.Semaphore(max(1, int(at_once)))",
        "asyncio.Semaphore(1000)",
        (
            OF_SERVING
            + "test_whoever_asks_one_address_a_hundred_times_leaves_threads_for_the_others",
        ),
    ),
    Mutant(
        "a flood locks the others out",
        "lumikb/serving/worker.py",
        "        if len(self.conversations) >= self._most:\n            self._drop_one()\n",
        "        if len(self.conversations) >= self._most:\n            return client.close()\n",
        (OF_SERVING + "test_when_there_are_too_many_the_one_who_waits_longest_goes",),
    ),
    Mutant(
        "a stop cuts off what has begun",
        "lumikb/serving/worker.py",
        "            conversation.finish()",
        "            conversation.drop()",
        (OF_SERVING + "test_a_server_that_stops_finishes_what_has_begun",),
    ),
    Mutant(
        "X_Forwarded_For is X-Forwarded-For",
        "lumikb/serving/wsgi.py",
        'if name in OURS or b"_" in name:',
        "if name in OURS:",
        (OF_SERVING + "test_a_header_with_an_underscore_is_not_there",),
    ),
    Mutant(
        "a full disk keeps a part of an object",
        "lumikb/storage.py",
        "        except OSError:  # a full disk has taken some of it\n",
        "        except ZeroDivisionError:\n",
        (OF_FULL_DISK + "test_an_object_that_does_not_fit_leaves_no_part_of_it",),
    ),
    Mutant(
        "PostgreSQL without room leaves an object",
        UPLOADS,
        "        if is_full(error):\n            _discard(document)\n",
        "",
        (OF_FULL_DISK + "test_what_postgresql_has_no_room_for_leaves_no_object",),
    ),
    Mutant(
        "browsers keep pages",
        "lumikb/caching.py",
        '"no-store"',
        '"no-cache"',
        (OF_CACHING + "test_errors_are_kept_nowhere",),
    ),
    Mutant(
        "errors of the API are pages below a path",
        "lumikb/errors.py",
        'request.path_info.startswith("/api/")',
        'request.path.startswith("/api/")',
        (OF_SUBPATH + "test_errors_of_the_api_are_json",),
    ),
    Mutant(
        "a duplicate is a warning",
        "lumikb/logs.py",
        "        if status < 500:",
        "        if False:",
        (OF_LOGS + "test_a_duplicate_is_nothing_to_look_into",),
    ),
    Mutant(
        "a duplicate is an error of PostgreSQL's",
        LIFECYCLE,
        "bulk_create([document], ignore_conflicts=True)",
        "bulk_create([document])",
        (OF_LOGS + "test_a_duplicate_is_no_error_to_postgresql_either",),
    ),
    Mutant(
        "a start gives up on what lives",
        "deploy/local/supervisor.py",
        "if process.deaths >= DEATHS:",
        "if process.deaths >= DEATHS or process.alive():",
        (OF_SUPERVISOR + "test_a_server_that_lives_is_waited_for_and_the_reason_is_said",),
    ),
    # --- What operators see and do ---------------------------------------------------------------
    Mutant(
        "the web may change the audit",
        "documents/migrations/0014_audit.py",
        "REVOKE UPDATE, DELETE, TRUNCATE",
        "REVOKE TRUNCATE",
        (OF_AUDIT + "test_a_migration_takes_the_right_to_change_a_line_away",),
    ),
    Mutant(
        "what a worker does is audited as a person's",
        "documents/migrations/0014_audit.py",
        "FOR EACH ROW WHEN (NEW.by_id IS NOT NULL)",
        "FOR EACH ROW",
        (OF_AUDIT + "test_what_the_machinery_does_is_no_line",),
    ),
    Mutant(
        "the audit has a password that was typed as a name",
        "lumikb/logins.py",
        'what = "" if user else "a name that nobody has"',
        'what = "" if user else str(name)',
        (OF_AUDIT + "test_logins_are_written_down_and_failed_ones_in_whose_name",),
    ),
    Mutant(
        "a live document is purged at once",
        QUERYSETS,
        "deleted = self.filter(purging_at=None).exclude(deleted_at=None)",
        "deleted = self.filter(purging_at=None)",
        (OF_BUTTONS + "test_a_deleted_document_is_purged_at_once_and_never_comes_back",),
    ),
    Mutant(
        "what search still needs is purged at once",
        QUERYSETS,
        "return deleted.exclude(self._awaits_replacement())",
        "return deleted",
        (OF_BUTTONS + "test_what_is_replaced_is_not_purged_while_search_needs_it",),
    ),
    Mutant(
        "an auditor presses buttons",
        "documents/admin/buttons.py",
        "if not self.has_operate_permission(request):  # type: ignore[attr-defined]",
        "if False:",
        (OF_BUTTONS + "test_an_auditor_has_no_buttons_and_cannot_press_them",),
    ),
    Mutant(
        "a cell is a formula",
        "lumikb/operations/csv.py",
        'return f"\'{value}"',
        "return value",
        (OF_OPERATIONS + "test_no_cell_is_a_formula",),
    ),
    Mutant(
        "an operator's wish waits for the next run",
        "processing/management/commands/reconcile.py",
        "                self._run_requested(json)\n",
        "",
        (OF_REQUESTS + "test_a_reconciler_that_goes_on_takes_a_wish_up_before_its_next_run",),
    ),
    # --- Who may -------------------------------------------------------------------------------
    Mutant(
        "the last owner goes",
        "documents/members.py",
        "if had_one and not owners.exists():",
        "if False:",
        (OF_MEMBERS + "test_the_last_owner_stays",),
    ),
    Mutant(
        "two who share do not wait for each other",
        "documents/members.py",
        "KnowledgeBase.objects.select_for_update().filter(",
        "KnowledgeBase.objects.filter(",
        (OF_MEMBER_RACES + "test_of_two_owners_who_leave_one_stays",),
    ),
    Mutant(
        "who shares need not own",
        "documents/members.py",
        "if knowledge_base.role_of(by) != OWNER:",
        "if False:",
        (OF_MEMBER_RACES + "test_of_two_owners_who_remove_each_other_one_stays",),
    ),
    Mutant(
        "an invitation outlives its maker's right",
        "accounts/models.py",
        "return invitation if invitation.counts else None",
        "return invitation",
        (OF_MEMBERS + "test_one_that_does_not_count_looks_like_none",),
    ),
    Mutant(
        "an operator restores beyond a limit",
        "documents/admin/buttons.py",
        "limits.restore(document.pk, by)",
        "lifecycle.restore(document.pk, by)",
        (OF_BUTTONS + "test_a_limit_holds_for_who_restores_too",),
    ),
    Mutant(
        "a token has no end",
        "documents/models/access.py",
        "lasting = Q(expires_at=None) | Q(expires_at__gt=Now())",
        "lasting = Q()",
        (OF_TOKENS + "test_one_that_is_over_is_refused",),
    ),
    Mutant(
        "a token that reads only writes",
        "documents/models/access.py",
        "return Membership.Role.VIEWER.value if role and token and token.read_only else role",
        "return role",
        (OF_TOKENS + "test_one_that_may_only_read_changes_nothing",),
    ),
    Mutant(
        "a token for one knowledge base sees all",
        "documents/models/access.py",
        "            return found.filter(pk=token.knowledge_base_id)",
        "            return found",
        (OF_TOKENS + "test_one_for_a_knowledge_base_knows_no_other",),
    ),
    Mutant(
        "codes are guessed without end",
        "accounts/second_factor.py",
        "            user_login_failed.send(sender=type(self), credentials=credentials, "
        "request=request)\n",
        "",
        (OF_LOGIN + "test_who_guesses_codes_is_locked_out_like_who_guesses_passwords",),
    ),
    # --- Pages as they look -----------------------------------------------------------------------
    Mutant(
        "a page is drawn twice",
        "documents/pictures.py",
        '        if free.filter(pk=picture.pk).update(begun_at=Now(), tries=F("tries") + 1):\n',
        '        if PagePicture.objects.filter(pk=picture.pk).update(tries=F("tries") + 1):\n',
        (OF_PICTURES + "test_two_clicks_at_once_are_one_picture",),
    ),
    Mutant(
        "each look at a page posts a message",
        "documents/pictures.py",
        "_unfinished(document.pk).filter(_searchable(), long_ago, pk=found.pk)",
        "_unfinished(document.pk).filter(_searchable(), pk=found.pk)",
        (OF_PICTURES + "test_two_clicks_at_once_are_one_picture",),
    ),
    Mutant(
        "what is deleted while it is drawn leaves its picture",
        "documents/pictures.py",
        "    default_storage.delete(picture.key)\n    return False",
        "    return False",
        (OF_PICTURES + "test_what_is_deleted_while_it_is_drawn_leaves_nothing",),
    ),
    Mutant(
        "a text that was read otherwise gets rectangles all the same",
        "processing/rectangles.py",
        "            span = _by_letters(drawn.text, each.text)\n",
        "            pass\n",
        (OF_PICTURES + "test_a_passage_that_was_read_otherwise_is_said_to_have_no_place",),
    ),
    Mutant(
        "a scan that lies askew is marked as if it did not",
        "processing/parsing/recognition.py",
        "    best.degrees = degrees\n",
        "",
        (OF_PAGES + "test_words_that_were_recognised_are_marked_where_they_stand",),
    ),
    Mutant(
        "text that runs up a page is marked beside it",
        "processing/parsing/pdf/words.py",
        "    return ((x, y), (-y, x), (-x, -y), (y, -x))[turn]",
        "    return x, y",
        (OF_PAGES + "test_text_that_runs_up_or_down_the_page_is_marked",),
    ),
    # --- The product and its tests ---------------------------------------------------------------
    Mutant(
        "failpoints in the product",
        "lumikb/settings.py",
        'DEBUG = env.bool("DEBUG", False)\n',
        'DEBUG = env.bool("DEBUG", False)\nfrom tests import failpoints\nfailpoints.install()\n',
        (OF_GUARDS + "test_nobody_can_set_a_failpoint_in_the_product",),
    ),
]
