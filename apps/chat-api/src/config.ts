import { serviceConfigShape } from '@flexpush/process';
import { tmpdir } from 'node:os';
import { z } from 'zod';

/** What chat-api is configured with. Every name carries its unit; defaults stand only here. */
export const configSchema = z
  .object({
    ...serviceConfigShape,
    /** The first part of every path: `/{app}/2/chat/{service}`. */
    FLEXPUSH_APP_NAME: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1-64 letters, digits, "_" or "-"')
      .default('genesys'),
    /** A larger body is refused with 413; the counterpart of the original's `xml-request-max-size`. */
    FLEXPUSH_REQUEST_BYTES_MAX: z.coerce.number().int().min(200).max(1_048_576).default(32_768),
    /** How long the head of a request may take to come, and then its body; that of a file has bounds of its own. */
    FLEXPUSH_RECEIVE_TIMEOUT_MS: z.coerce.number().int().min(50).max(600_000).default(20_000),
    /** An answer of which the other side takes nothing for between once and twice this is dropped with its connection. */
    FLEXPUSH_ANSWER_TIMEOUT_MS: z.coerce.number().int().min(50).max(600_000).default(30_000),
    /** Requests that may be under way at once; more are refused with 503. */
    FLEXPUSH_REQUESTS_IN_FLIGHT_MAX: z.coerce.number().int().min(1).max(100_000).default(4_096),
    /** Uploads and downloads of files at once; more are refused with 503. */
    FLEXPUSH_FILE_TRANSFERS_MAX: z.coerce.number().int().min(1).max(10_000).default(64),
    /** An upload that has not shown its credentials by then is broken off. */
    FLEXPUSH_FILE_START_TIMEOUT_MS: z.coerce.number().int().min(50).max(600_000).default(10_000),
    /** A transfer that has not moved for this long is broken off. */
    FLEXPUSH_FILE_IDLE_TIMEOUT_MS: z.coerce.number().int().min(100).max(600_000).default(30_000),
    /** An upload that comes at less than 2 KiB/s as an average over this is broken off. */
    FLEXPUSH_FILE_PACE_WINDOW_MS: z.coerce.number().int().min(100).max(600_000).default(30_000),
    /** A transfer that takes longer is broken off. */
    FLEXPUSH_FILE_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(86_400_000).default(600_000),
    /** Where files wait that come before their credentials and are too large for memory. */
    FLEXPUSH_FILE_SPOOL_FOLDER: z.string().min(1).default(tmpdir()),
    /** Of all files there; those from one address get half of it. 0: none waits there. */
    FLEXPUSH_FILE_SPOOL_BYTES_MAX: z.coerce.number().int().min(0).max(1_099_511_627_776).default(536_870_912),
    /** How long to wait for a reply before the record is appended again; the wait doubles each time. */
    FLEXPUSH_REPLY_RETRY_MS: z.coerce.number().int().min(20).max(60_000).default(1_500),
    /** After this the caller hears that it may try again. */
    FLEXPUSH_REQUEST_TIMEOUT_MS: z.coerce.number().int().min(50).max(120_000).default(10_000),
    /** CometD clients that may be connected to this process; more are refused at the handshake. */
    FLEXPUSH_COMETD_SESSIONS_MAX: z.coerce.number().int().min(1).max(100_000).default(10_000),
    /** How long a /meta/connect is held when there is nothing to say. */
    FLEXPUSH_COMETD_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(300_000).default(30_000),
    /** A CometD client that does not connect again within this is gone, and pushes to its device begin. */
    FLEXPUSH_COMETD_MAX_INTERVAL_MS: z.coerce.number().int().min(500).max(300_000).default(10_000),
    /** All replicas must have the same; from it come the obfuscated keys and the ids of idempotent chat requests. */
    FLEXPUSH_KEY_SECRET: z
      .string('is required, at least 32 characters')
      .min(32, 'must have at least 32 characters'),
  })
  .refine((config) => config.FLEXPUSH_REPLY_RETRY_MS < config.FLEXPUSH_REQUEST_TIMEOUT_MS, {
    path: ['FLEXPUSH_REPLY_RETRY_MS'],
    message: 'must be below FLEXPUSH_REQUEST_TIMEOUT_MS, or a lost reply is never asked for again',
  });
export type ChatApiConfig = z.infer<typeof configSchema>;
