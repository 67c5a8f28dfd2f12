export interface ReceiverConfig {
  readonly host: string;
  readonly port: number;
  /** How long each POST is kept waiting for its answer, to play a slow web server. */
  readonly delayMs: number;
  /** Ends when its stdin closes, because its launcher has died. */
  readonly exitWithParent: boolean;
  readonly colour: boolean;
  /** Of Standard Webhooks, the present one first; empty: nothing is verified. */
  readonly signingKeys: readonly string[];
  /** Where triggers are followed by a refresh; undefined: they are only printed. */
  readonly chat: { readonly baseUrl: string; readonly service: string } | undefined;
}

const DELAY_MAX_MS = 600_000;
const SIGNING_KEY = /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Reads the environment; throws one error that names every bad value. */
export function readConfig(
  env: NodeJS.ProcessEnv = process.env,
  isTerminal = process.stdout.isTTY,
): ReceiverConfig {
  const problems: string[] = [];
  const integer = (name: string, fallback: number, max: number): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
    problems.push(`${name} must be a whole number from 0 to ${max}, not "${text}"`);
    return fallback;
  };
  const baseUrl = env['RECEIVER_CHAT_URL'] || undefined;
  if (baseUrl !== undefined && !URL.canParse(baseUrl))
    problems.push('RECEIVER_CHAT_URL must be the URL of the Chat API with the application');
  const signingKey = (name: string): string[] => {
    const text = (env[name] ?? '').trim();
    if (text !== '' && !SIGNING_KEY.test(text)) problems.push(`${name} must be whsec_ and base64`);
    return text === '' ? [] : [text];
  };
  const config: ReceiverConfig = {
    host: env['FLEXPUSH_HTTP_HOST'] || '127.0.0.1',
    port: integer('FLEXPUSH_HTTP_PORT', 8090, 65_535),
    delayMs: integer('RECEIVER_DELAY_MS', 0, DELAY_MAX_MS),
    exitWithParent: env['FLEXPUSH_EXIT_WITH_PARENT'] === '1',
    colour: isTerminal === true && (env['NO_COLOR'] ?? '') === '',
    signingKeys: ['RECEIVER_SIGNING_KEY', 'RECEIVER_SIGNING_KEY_PREVIOUS'].flatMap(signingKey),
    chat:
      baseUrl === undefined ? undefined : { baseUrl, service: env['RECEIVER_CHAT_SERVICE'] || 'support-web' },
  };
  if (problems.length > 0) throw new Error(problems.join('; '));
  return Object.freeze(config);
}
