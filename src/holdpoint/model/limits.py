"""Every limit of Holdpoint in one table: queues, buffers, timeouts, retries.

Names end in their unit. Sources: *PostgreSQL* means the server's own limit, *measured* means
``benchmarks/``, *chosen* means a judgement that the comment explains.
"""

from typing import Final

# --- wire: what a peer may make us hold in memory -------------------------------------------------
STARTUP_BYTES_MAX: Final = 10_000  # PostgreSQL: MAX_STARTUP_PACKET_LENGTH
AUTH_MESSAGE_BYTES_MAX: Final = 65_536  # PostgreSQL: PG_MAX_AUTH_TOKEN_LENGTH (65535) + header
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024  # chosen: frames the gate must see whole (Q, P, B)
FRAME_BYTES_MAX: Final = 0x3FFF_FFFF + 4  # PostgreSQL: MaxAllocSize bounds any protocol message
SESSION_PENDING_BYTES_MAX: Final = 1024 * 1024  # chosen: pipelined input buffered while held
SOCKET_READ_BYTES: Final = 64 * 1024  # measured: larger reads gain nothing on rows
LOOK_AGAIN_NS: Final = 40_000  # measured: one client, prepared: 1.3 to 1.6 times the throughput
TURN_NS: Final = 2_000_000  # chosen: the pages and timers of the loop wait no longer than this
EVENTS_PER_POLL: Final = 64
ACCEPTS_PER_TURN: Final = 64
ACCEPT_PAUSE_S: Final = 0.2
TRANSPORT_HIGH_WATER_BYTES: Final = 256 * 1024  # measured: back-pressure without stalls
STATEMENT_NAME_COUNT_MAX: Final = 10_000  # chosen: named statements one session may keep

# --- time ----------------------------------------------------------------------------------------
STARTUP_TIMEOUT_S: Final = 15.0  # chosen: half of PostgreSQL's authentication_timeout/2
UPSTREAM_CONNECT_TIMEOUT_S: Final = 10.0
HOLD_WAIT_S: Final = 60.0  # chosen: below the 60-120 s at which most clients give up
HOLD_EXPIRES_S: Final = 30 * 60.0
PROBE_TIMEOUT_S: Final = 2.0
READ_SYNC_DELAY_S: Final = 0.05  # chosen: plain reads reach the disk within this delay
CANCEL_TIMEOUT_S: Final = 5.0
SHUTDOWN_GRACE_S: Final = 5.0
WATCH_S: Final = 1.0  # chosen: what outlives its time is ended within this
CLIENT_GONE_GRACE_S: Final = 300.0  # chosen: a statement without a client may end in this time

# --- sessions, decisions, holds ------------------------------------------------------------------
SESSIONS_MAX: Final = 1_000
WEB_CONNECTIONS_MAX: Final = 500  # live pages keep one each
MEMO_ENTRIES_MAX: Final = 20_000
QUICK_BYTES_MAX: Final = 16 * 1024  # chosen: larger packets spend their time elsewhere
MEMO_ENTRY_BYTES: Final = 800  # chosen: length of a remembered text, on average; kept twice
MEMO_PATHS_MAX: Final = 8  # chosen: search paths per tier whose texts are remembered apart
MEMO_TEXT_BYTES_MAX: Final = 64 * 1024  # chosen: larger texts are decided anew each time
LOOP_TEXT_CHARS_MAX: Final = 64 * 1024  # measured: longer texts take over 10 ms to read
HOLDS_OPEN_MAX: Final = 1_000
HOLDS_OPEN_PER_AGENT_MAX: Final = 50
NOTE_CHARS_MAX: Final = 4_000

# --- reading statements ---------------------------------------------------------------------------
NESTING_DEPTH_MAX: Final = 200  # measured: far below the depth at which the parser's stack ends
STATEMENT_COUNT_MAX: Final = 1_000  # statements in one message
PRESCAN_FREE_BYTES: Final = 8_192  # measured: 4,000 links take 0.4 MB of stack; no scan needed
PARSE_BYTES_MAX: Final = 16 * 1024 * 1024  # chosen: one INSERT with a large literal still passes
PARSE_CHAIN_MAX: Final = 8_000  # measured: 60,000 links fit a stack of 8 MB, 5,000 one of 0.5 MB
PARSE_TOKENS_MAX: Final = 500_000  # measured: about 0.3 KB of tree per token
FILTER_DEPTH_MAX: Final = 50  # chosen: a filter nested deeper counts as none
PARTNER_HOPS_MAX: Final = 3  # chosen: joined tables looked at, one behind the other, for a filter
REGIONS_MAX: Final = 512  # chosen: combinations of values a condition is tried with, at most 1 ms
SUBQUERY_LIMIT_ROWS_MAX: Final = 100_000  # chosen: a larger LIMIT bounds nothing in most tables
COMMENT_RUN_COST_MAX: Final = 20_000_000  # measured: 30 ms in the lexer
PARSE_MESSAGE_CHARS_MAX: Final = 200
CODE_CHARS_MAX: Final = 1024 * 1024  # chosen: a body of a function or DO block; read in some 1 s
CODE_STATEMENTS_MAX: Final = 2_000  # chosen: statements and expressions of one body
FINDING_QUOTE_CHARS_MAX: Final = 200  # chosen: a message stays readable; the record has it all

# --- impact ---------------------------------------------------------------------------------------
WRITE_ROWS_MAX: Final = 1_000  # policy `careful`: a write over this many rows is held
BIG_TABLE_ROWS: Final = 100_000  # policy `careful`: DDL on a table over this many rows is held
ROW_BOUND_SLACK: Final = 1.25  # an approved estimate may grow by this factor before it is stale
IMPACT_LISTED_MAX: Final = 200  # chosen: entries of one list of an impact; more is said to be cut
IMPACT_CHANGES_MAX: Final = 100  # chosen: definitions of one message looked up in the catalog
IMPACT_BODIES_MAX: Final = 10  # chosen: names searched for in the bodies of all functions
CASCADE_LEVELS_MAX: Final = 20  # chosen: foreign keys one behind the other; schemas have a handful
BODY_NAMES_CHARS_MAX: Final = 100_000  # chosen: what is searched of a function's body for names

# --- probes: asking a database before a statement runs --------------------------------------------
PROBES_MAX: Final = 8  # chosen: connections of probes to one tier; more would crowd out its users
MEASURE_TIMEOUT_S: Final = 4.0  # chosen: an agent waits for this once, before people are asked
EXACT_ROWS_MAX_S: Final = 60.0  # chosen: the longest count that `exact_rows` may allow
CASCADES_MEASURED_MAX: Final = 20  # chosen: foreign keys whose rows are worked out for one hold
CASCADE_QUERY_CHARS_MAX: Final = 100_000  # chosen: levels nest; beyond this nobody asks
READ_SCAN_ROWS_MAX: Final = 1_000_000  # chosen: reading this many rows one by one takes seconds
READ_PAIRS_MAX: Final = 100_000_000  # chosen: comparing this many pairs takes some ten seconds
READ_TABLES_MAX: Final = 20  # chosen: tables of one plan whose size is looked up
PLAN_LINES_MAX: Final = 40  # chosen: what a page shows of a plan
PLAN_LINE_CHARS_MAX: Final = 300
TABLE_USERS_MAX: Final = 50  # chosen: others on a table that a case names
USAGE_RECORDS_MAX: Final = 500  # chosen: newest records searched for agents that use a table
USAGE_RECORD_CHARS_MAX: Final = 64 * 1024  # chosen: larger records are not searched

# --- catalog --------------------------------------------------------------------------------------
CATALOG_CHECK_S: Final = 5.0  # chosen: DDL from elsewhere is seen within this while agents work
CATALOG_CHECK_SHARE: Final = 0.05  # chosen: of a server's process that checking may take
CATALOG_AGE_MAX_S: Final = 60.0  # chosen: a picture not checked for so long is not given out
CATALOG_WHOLE_S: Final = 600.0  # chosen: counts and sizes, which no mark covers, are read anew
CATALOG_IDLE_S: Final = 300.0  # chosen: with no statement for so long, nothing is checked
CATALOG_WAIT_S: Final = 10.0  # chosen: how long a statement waits for a picture
CATALOG_RETRY_S: Final = 1.0  # chosen: after a failure the next try is this much later
CATALOG_STATEMENT_S: Final = 60.0  # measured: 10,000 tables take 2 s in all, 6 s beside others
CATALOG_LOCK_S: Final = 1.0  # chosen: what others lock is not waited for longer
CATALOG_KEEPALIVE_S: Final = 15  # chosen: a dead network shows after three times this
CATALOG_READ_TRIES: Final = 3  # chosen: DDL may come between
CATALOG_ENTRIES_MAX: Final = 2_000_000  # measured: 340,000 for 10,000 tables, held in 80 MB
CATALOG_BYTES_MAX: Final = 128 * 1024 * 1024  # chosen: stored definitions, all together

# --- web door -------------------------------------------------------------------------------------
WEB_BODY_BYTES_MAX: Final = 64 * 1024  # chosen: a note of NOTE_CHARS_MAX in UTF-8, form-encoded
WEB_FORM_FIELDS_MAX: Final = 16
WEB_VISITS_MAX: Final = 1_000  # signed-in browsers kept in memory; the oldest goes first
WEB_VISIT_IDLE_S: Final = 12 * 3600.0  # chosen: one shift on call
WEB_VISIT_AGE_S: Final = 7 * 24 * 3600.0
WEB_STREAMS_MAX: Final = 200  # live pages open at once
WEB_STREAMS_PER_PERSON_MAX: Final = 20
WEB_STREAM_AGE_S: Final = 3600.0  # then the browser connects again
WEB_HEARTBEAT_S: Final = 15.0  # chosen: below the 30-60 s at which proxies close silent streams
WEB_ENDED_SHOWN_MAX: Final = 50
WEB_FINDINGS_SHOWN: Final = 4  # of one case; the rest unfolds
WEB_TRAIL_SHOWN_MAX: Final = 50
WEB_STATEMENT_CHARS_MAX: Final = 40_000  # more is shown as head and tail, whole as plain text
SIGN_IN_TRIES_MAX: Final = 8  # per peer, in a window
SIGN_IN_WINDOW_S: Final = 300.0
SIGN_IN_PEERS_MAX: Final = 4_096  # peers remembered
PASSWORD_CHECKS_MAX: Final = 2  # at once; each takes 64 MiB
PASSWORD_CHARS_MIN: Final = 12
PASSWORD_CHARS_MAX: Final = 1_024  # what the hash function is fed at most
SIGN_IN_LINK_S: Final = 15 * 60.0

# --- trail, store --------------------------------------------------------------------------------
RECORDS_WAITING_MAX: Final = 10_000  # chosen: records queued for the writer, all sessions together
RECORD_BATCH_MAX: Final = 256  # chosen: records that share one commit
RECORD_BYTES_MAX: Final = 512 * 1024 * 1024  # chosen: MESSAGE_BYTES_MAX in JSON; SQLite: 1 GB
RECORD_DEPTH_MAX: Final = 100  # chosen: nesting of a record's body; orjson ends at 254
SPOOL_BYTES: Final = 16 * 1024 * 1024  # chosen: two halves, each some 100,000 plain reads
SPOOL_RESERVE_BYTES: Final = 256 * 1024  # chosen: kept for outcomes when no new read fits any more
READ_BYTES_MAX: Final = 1024 * 1024  # chosen: text and parameters of one plain read in the spool
HEAD_INTERVAL_S: Final = 1.0  # chosen: a cut end is noticed unless it is younger than this
HEADS_RECENT_MAX: Final = 1_000  # chosen: newest heads kept; of older ones each HEADS_THIN_STEP-th
HEADS_THIN_STEP: Final = 60  # chosen: about one per minute of a busy server
HEADS_FILE_BYTES_MAX: Final = 8 * 1024 * 1024  # chosen: the side file is thinned out beyond this
TRAIL_RETRY_S: Final = 1.0  # chosen: how often a trail that failed is tried again
TRAIL_FINDINGS_MAX: Final = 100  # chosen: breaks that one verification lists
STORE_BUSY_TIMEOUT_S: Final = 5.0  # chosen: waiting for another process's commit
HOLD_POLL_S: Final = 1.0  # chosen: answers given through another process are seen within this
SUBSCRIBER_HOLDS_MAX: Final = 2 * HOLDS_OPEN_MAX  # changes kept for a slow reader
NAME_CHARS_MAX: Final = 63  # PostgreSQL: NAMEDATALEN - 1

# --- configuration, check ------------------------------------------------------------------------
CONFIG_BYTES_MAX: Final = 4 * 1024 * 1024  # chosen: thousands of rules with their examples
URL_BYTES_MAX: Final = 16 * 1024  # chosen: what a file that a URL is read from may hold
DURATION_MAX_S: Final = 366 * 24 * 3600.0  # chosen: longest expiry a configuration may name
SERVER_TIMEOUT_MAX_S: Final = (2**31 - 1) / 1000  # PostgreSQL: its timeouts are INT_MAX ms
SETTING_CHARS_MAX: Final = 1_000  # chosen: far above any value of a setting
ROLE_MINTED_VALID_S: Final = 8 * 3600.0  # chosen: a working day
CHECK_LINE_BYTES_MAX: Final = 32 * 1024 * 1024  # chosen: a line of `check --jsonl`, escapes and all

# --- embedded PostgreSQL --------------------------------------------------------------------------
EMBEDDED_PREPARE_TIMEOUT_S: Final = 120.0  # chosen: initdb on a slow disk takes some ten seconds
EMBEDDED_START_TIMEOUT_S: Final = 60.0  # PostgreSQL: pg_ctl's default wait
EMBEDDED_STOP_TIMEOUT_S: Final = 10.0  # chosen: for each of a clean, an immediate, a forced stop
EMBEDDED_PORT_TRIES: Final = 5  # a free port may be taken before the server binds it

# --- following what a statement sets off ----------------------------------------------------------
CONSEQUENCES_MAX: Final = 2_000  # chosen: objects followed for one name; beyond it is unknown
CLOSURES_MAX: Final = 20_000  # chosen: names whose consequences are remembered per catalog
SEARCH_PATHS_MAX: Final = 8  # chosen: possible search paths of a session; beyond, any schema counts
SERIES_ROWS_MAX: Final = 10_000_000  # chosen: rows made out of nothing in a few seconds of one core

# --- budgets --------------------------------------------------------------------------------------
BUDGET_LOCK_S: Final = 10.0  # chosen: behind one that waits for a lock, everyone queues
BUDGET_IDLE_IN_TRANSACTION_S: Final = 300.0  # chosen: longer than a model thinks; keeps dead rows

# --- secrets, roles for one session ---------------------------------------------------------------
SECRET_TIMEOUT_S: Final = 5.0  # chosen: a secret manager's answer, well within STARTUP_TIMEOUT_S
SECRET_KEEP_S: Final = 30.0  # chosen: a changed secret is used within this
SECRET_FAILED_KEEP_S: Final = 2.0  # chosen: while a secret manager fails it is asked this often
SECRET_THREADS_MAX: Final = 4  # chosen: commands that are waited for at once
OWN_TIMEOUTS_S: Final = 60.0  # chosen: a role's changed timeouts hold for sessions after this
RESTORE_TRIES_MAX: Final = 3  # chosen: a stray CancelRequest may hit the gate's own question
MINT_TIMEOUT_S: Final = 8.0  # chosen: to make a role, within STARTUP_TIMEOUT_S
MINTS_MAX: Final = 8  # chosen: roles that are made or dropped at once, a connection for each
MINT_CONNECTIONS: Final = 2  # chosen: a session has one; what it leaves may be there for a moment
MINT_UNUSED_S: Final = 60.0  # chosen: a role that no session has used by then is left over
MINT_POLL_S: Final = 0.02
MINT_REPLAY_S: Final = 3.0  # chosen: how long a replica may take to know a new role
MINT_SWEEP_S: Final = 300.0  # chosen: roles that were left over are gone within this
MINT_SWEEP_TIMEOUT_S: Final = 60.0

# --- roles and grants of a database ---------------------------------------------------------------
ROLE_CONNECTIONS: Final = 50  # chosen: half of what PostgreSQL takes at its usual max_connections

# --- tasks, credentials, requests for a tier ------------------------------------------------------
TASK_S: Final = 8 * 3600.0  # chosen: a working day, when nobody says how long
TASK_MAX_S: Final = 31 * 24 * 3600.0  # chosen: longer work deserves a new look
REQUEST_S: Final = 2 * 3600.0  # chosen: what an agent gets of a tier when it names no time
REQUEST_MIN_S: Final = 60.0
REQUEST_MAX_S: Final = 24 * 3600.0  # chosen: what an agent may ask for at most
REASON_CHARS_MAX: Final = 500  # chosen: a reason that people read before they answer
DESCRIPTION_CHARS_MAX: Final = 2_000
TICKET_CHARS_MAX: Final = 200
REQUESTS_MAX: Final = 20  # per agent, in a window: people must be able to read them
REQUESTS_WINDOW_S: Final = 600.0
AGENT_TRIES_MAX: Final = 10  # wrong secrets per address and name, in SIGN_IN_WINDOW_S
STANDING_AGE_MAX_S: Final = 15.0  # chosen: sessions end when the store gives no word for so long
ENDING_S: Final = 5.0  # chosen: a session that is ended may bring its statement to an end in this

# --- replicas -------------------------------------------------------------------------------------
REPLICA_LOOK_S: Final = 2.0  # chosen: a promoted or lagging replica is noticed within this
REPLICA_LOOK_MIN_S: Final = 0.25  # chosen: however small the lag that a tier allows
REPLICA_ANSWER_S: Final = 3.0  # chosen: a server that takes longer counts as down
REPLICA_IDLE_S: Final = 60.0  # chosen: with no session for so long, nobody looks any more
REPLICA_AVOID_S: Final = 10.0  # chosen: a server that could not be connected to is tried last
REPLICA_WAIT_S: Final = 8.0  # chosen: below the 10 s after which many clients give up connecting
REPLICA_MARKS_MAX: Final = 256  # chosen: positions of a replica that has stopped applying
REPLICA_SKEW_MAX_S: Final = 1.0  # chosen: a commit from further in the future tells of wrong clocks

# --- access verify --------------------------------------------------------------------------------
VERIFY_STATEMENT_S: Final = 60.0  # chosen: one question about one role; 10,000 tables take some 1 s
VERIFY_LOCK_S: Final = 1.0  # chosen: what others lock is not waited for longer
VERIFY_LISTED_MAX: Final = 200  # chosen: objects that one finding or one list names
VERIFY_LEADS_MAX: Final = 10_000  # chosen: tables that views and rules lead a role to
VERIFY_LARGE_OBJECTS_MAX: Final = 100_000  # chosen: with an access list of their own, looked at
VERIFY_TRIES_MAX: Final = 400  # chosen: statements tried as one role; more objects are sampled
VERIFY_TRY_S: Final = 2.0  # chosen: one of them; none has rows to look for
VERIFY_TRY_LOCK_S: Final = 0.2  # chosen: trying never queues in front of an application for longer

# --- suggestions and replays over the trail -------------------------------------------------------
HISTORY_OPEN_MAX: Final = 10_000  # chosen: statements under way at once; more never end
WORKLOAD_TEXTS_MAX: Final = 20_000  # chosen: texts whose needs are remembered, some 50 MB
WORKLOAD_EXAMPLES_MAX: Final = 5  # chosen: examples of statements that are shown for one reason
WORKLOAD_TEXT_CHARS_MAX: Final = 2_000  # chosen: of an example; the trail has it whole
LOG_LINE_BYTES_MAX: Final = 32 * 1024 * 1024  # chosen: a statement in a server's log
LOG_UNREADABLE_SHOWN_MAX: Final = 5  # chosen: lines of a log that are named
REPLAY_DAYS_MAX: Final = 400  # chosen: days in a plot; older ones are put together
REASONS_MAX: Final = 200  # chosen: reasons told apart; more are counted as one
