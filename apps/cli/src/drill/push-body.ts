import type { ReceivedPost } from './history';

interface PushBody {
  readonly deviceId?: string;
  readonly message?: {
    readonly messages?: readonly {
      readonly index?: number;
      readonly type?: string;
      readonly text?: string;
      readonly utcTime?: number;
      readonly userData?: Readonly<Record<string, string>>;
    }[];
  };
}

/** What a POST says, and to whom; undefined for a body that is none of a push. */
export function readPush(
  text: string,
  atMs: number,
): { readonly deviceId: string; readonly post: ReceivedPost } | undefined {
  const { deviceId, message } = parse(text);
  const event = message?.messages?.[0];
  if (deviceId === undefined || event === undefined) return undefined;
  const attempt = event.userData?.['notify-attempt'];
  if (attempt === undefined)
    return { deviceId, post: { atMs, jobAtMs: 0, position: event.index ?? 0, marker: event.text } };
  return {
    deviceId,
    post: {
      atMs,
      jobAtMs: event.utcTime ?? 0,
      attempt: Number(attempt),
      position: Number(event.userData?.['notify-position']),
    },
  };
}

function parse(text: string): PushBody {
  try {
    return (JSON.parse(text) ?? {}) as PushBody;
  } catch {
    // Anybody may POST here; only pushes count.
    return {};
  }
}
